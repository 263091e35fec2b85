"""Judging: what readers keep about features, whose it is, and how it comes and goes."""
