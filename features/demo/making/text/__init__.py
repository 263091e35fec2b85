"""From folders of text to the rows that are trained on: what is read, what is left out, in which order."""
