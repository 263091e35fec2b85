"""The language model in training: its formula with gradients, its loss, and where its embeddings start."""
