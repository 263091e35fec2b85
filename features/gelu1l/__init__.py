"""The real GELU-1L: its files on the hub, their form here, and the numbers published of it."""
