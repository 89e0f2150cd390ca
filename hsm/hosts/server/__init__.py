"""The HTTP server of `hsm hosts serve`."""
