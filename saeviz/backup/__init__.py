"""All that was found, computed and judged in one file, and back again, also elsewhere and on the other database."""
