"""What follows from kept activations once statistics are shown: worked out step by step, and read again."""
