"""Bins that all checkpoints have in common, so that they can stand beside each other."""

import numpy as np

DENSITIES = np.linspace(-6, 0, 61)  # edges of the density histogram, log10
