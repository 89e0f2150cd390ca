"""Tables and pages of a sweep: what its runs recorded, compared."""
