"""`make run`: the embedded Redis, the worker and the site, started together and ended together."""
