"""Meanings of the words of a command line: sweeps of every kind, single runs, folders."""
