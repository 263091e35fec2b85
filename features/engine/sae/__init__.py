"""A sparse autoencoder: its formula, the layouts its files come in, and how they are read."""
