"""The workflows: the only modules that know the order of the whole."""
