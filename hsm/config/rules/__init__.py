"""Rules for single values of a configuration."""
