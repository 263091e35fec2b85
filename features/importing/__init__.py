"""From files to rows: SAEs, models and corpora on disk or on the hub."""
