"""What a project holds: its sweeps, their runs and what state these are in."""
