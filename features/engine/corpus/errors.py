"""What is wrong with a text, and the way out."""


class CorpusError(ValueError):
    """Text or token rows that cannot serve as a corpus; the message says what is there and the way out."""
