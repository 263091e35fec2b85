"""What importing keeps on disk and in rows, as it is listed and removed."""
