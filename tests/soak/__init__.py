"""Attacks and faults, bounded, on this machine alone: what does the site answer, and what does it cost?"""
