"""Where files of others are opened: in processes of their own, with bounds of memory and time."""
