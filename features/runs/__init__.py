"""Training runs: folders are watched, checkpoints become figures, and the same feature is followed through them."""
