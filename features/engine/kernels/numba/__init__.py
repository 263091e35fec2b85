"""Loops that numba compiles when they are first used, for the CPU; the machine code is cached in __pycache__.

A file here calls nothing of another: numba decides by a function's own file alone whether its cache still holds.
"""
