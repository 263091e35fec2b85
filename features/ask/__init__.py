"""Questions to the kept activations of all features."""
