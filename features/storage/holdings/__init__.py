"""What the site keeps: every room registers what is its own, and says what goes with it and how it comes again."""
