"""Where patterns hold in the text that activations are kept of; the text of examples; claims held against both."""
