"""Choice of a clean: the sweeps that its words mean, and the runs of them that are asked for."""
