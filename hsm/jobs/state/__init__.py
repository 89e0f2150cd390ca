"""State of a submitted sweep: what was submitted, and how each task is, in one file of the sweep's folder."""
