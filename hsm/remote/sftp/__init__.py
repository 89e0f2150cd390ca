"""The SFTP protocol: the wire, a session, listings, and HSM's own files over it."""
