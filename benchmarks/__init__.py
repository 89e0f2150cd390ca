"""How fast HSM is, beside the ways people do the same without it. `make bench` runs it."""
