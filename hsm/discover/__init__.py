"""Discovery of a project's sweeps, of their runs and of the state of these."""
