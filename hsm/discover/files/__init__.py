"""Files of a source: what can be sent, what symlinks lead to, and what is no result."""
