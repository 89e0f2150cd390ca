"""Folders of a sweep and of its jobs in a clean: which jobs have ended, and what stays because something in it does."""
