"""The `hsm` program: Typer apps, one file a noun."""
