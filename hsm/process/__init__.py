"""Starting programs: the runner, the pump of their pipes, and background calls."""
