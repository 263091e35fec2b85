"""Speed behind a wall: compiled loops, blocked searches, threads, transfers."""
