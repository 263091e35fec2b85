"""What is claimed of a feature, and does it hold?"""
