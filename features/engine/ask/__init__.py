"""Questions to the active entries of all features: where a pattern holds in the text, and which features go with it."""
