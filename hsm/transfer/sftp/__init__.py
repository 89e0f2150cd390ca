"""The SFTP engine."""
