"""Small `/bin/sh` programs for the other side, and readers of their answers."""
