"""The destination of a transfer: its lock, and looks before what cannot be undone there."""
