"""Other machines and the processes that reach them."""
