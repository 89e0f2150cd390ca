"""Plan: what is sent and what is left out, and why, as pure functions of two inventories."""
