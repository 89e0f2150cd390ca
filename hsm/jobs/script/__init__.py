"""Job scripts: the parts in bash, and the maker of their heads."""
