"""YAML documents with positions, and findings in them."""
