"""Copies on disks of this machine."""
