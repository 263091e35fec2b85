"""Grading blind: a drawn sample, panels without a number, a question that needs no opinion, and what comes of it."""
