"""Commands of `hsm sweep`, one file a command."""
