"""What a pass over the corpus keeps on disk: active entries, and sums."""
