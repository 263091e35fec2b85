"""A feature, or a whole dictionary, beside another that reads the same place."""
