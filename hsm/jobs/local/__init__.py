"""Pool of tasks on one machine, in a process of its own that outlives the terminal."""
