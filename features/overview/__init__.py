"""All features at once: as points of two figures, as a map of decoders, and two of them side by side."""
