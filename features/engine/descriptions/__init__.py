"""Features described by simple patterns: what may be said, what it holds on, which of it goes best with a feature."""
