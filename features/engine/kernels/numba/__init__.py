"""Loops that are compiled when they are first used, for the CPU; the results lie in __pycache__.

A file here calls nothing of another: whether what lies in the cache still holds is told by a function's own file alone.
"""
