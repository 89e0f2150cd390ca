"""Format of a prepared sweep: the files that a sweep is submitted from."""
