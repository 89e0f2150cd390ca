"""Code that the tasks of a sweep run: as it was when the sweep was prepared."""
