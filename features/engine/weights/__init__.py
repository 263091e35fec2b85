"""Figures that follow from the weights: logit effects, neighbours, ablations."""
