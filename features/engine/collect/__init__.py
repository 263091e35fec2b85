"""A pass over the corpus, from rows of tokens to the figures of all features."""
