"""Runtime of generated flows: the same files in every artifact."""
