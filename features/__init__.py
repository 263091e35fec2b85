"""The dictionary of features: stored, browsed, recomputed."""

__version__ = "0.1.0"  # of saeviz, as in pyproject.toml
