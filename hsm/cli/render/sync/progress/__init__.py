"""Progress of a sync: bars in a terminal, lines elsewhere."""
