"""The disk of a destination as it was measured, and what follows for times and names. Pure."""
