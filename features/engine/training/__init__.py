"""One dictionary at several moments of its training: figures of each, and what became of its features between them."""
