"""Push and pull: one exchange between a source and a destination."""
