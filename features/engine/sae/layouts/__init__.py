"""One file for each layout in which SAEs are published."""
