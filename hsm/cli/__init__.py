"""Command line: Typer apps, one folder a group and one file a command."""
