"""What to send and what to leave, and why: pure functions of two inventories."""
