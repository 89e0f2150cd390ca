"""Definition of a sweep: the file that says what is varied, and how its tasks are started."""
