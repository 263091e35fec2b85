"""Speed behind a wall: compiled loops, blocked searches, threads, transfers. Each says what slow way it equals."""
