"""Executors: what runs the tasks of a prepared sweep, behind one contract, and the life of a task."""
