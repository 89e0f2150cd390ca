"""Sweeps that were submitted, or are about to be: what is done with them, and what is known of them."""
