"""Sweeps that HSM runs: their definition, their tasks, and the folder that they are submitted from."""
