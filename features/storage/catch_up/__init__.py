"""What workers make of rows of earlier versions: a batch at a time, to be interrupted anywhere."""
