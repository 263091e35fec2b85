"""Text to equal rows of tokens."""
