"""A language model: its weights, hook points, vocabulary, and the way to its logits."""
