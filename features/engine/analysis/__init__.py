"""Figures that follow from kept activations once statistics are shown: importance, misses, tokens, dead features."""
