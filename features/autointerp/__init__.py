"""Labels by a language model: asked for, drawn from examples, scored by detection, kept as a machine's."""
