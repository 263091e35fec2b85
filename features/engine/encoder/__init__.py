"""Active features of tokens: the encoder's product, and screens that rule most of it out."""
