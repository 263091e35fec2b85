"""Figures that follow from a feature's active entries."""
