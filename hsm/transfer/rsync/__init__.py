"""The rsync engine."""
