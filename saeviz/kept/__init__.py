"""What the site keeps, for who looks after it: all kinds, their sizes, and a way to remove each."""
