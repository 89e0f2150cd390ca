"""The second SSH client, over paramiko and fabric."""
