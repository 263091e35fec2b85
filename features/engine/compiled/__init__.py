"""Loops that are compiled when they are first used, for the CPU; the results lie in __pycache__."""
