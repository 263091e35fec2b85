"""Claims about features, held against every checkpoint of their run."""
