"""What the words of a command line mean: sweeps of every kind, single runs, folders."""
