"""Reading: the pages of an SAE and its features, the list of them, the search in their examples."""
