"""The search for wandb folders and for the marks of Hydra: its rules, and how this machine is searched."""
