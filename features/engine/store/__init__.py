"""What a pass over the corpus keeps on disk: active entries, sums with the hook point, products between features."""
