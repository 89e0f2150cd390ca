"""The system's own OpenSSH: its command line, the shared login, and what its messages mean."""
