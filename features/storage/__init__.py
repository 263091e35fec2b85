"""Statistics in rows: the one writer, the packed payload, and readers of what rows stand on."""
