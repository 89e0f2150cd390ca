"""Slurm: job scripts, submission that happens once, and what the queue and the accounting say."""
