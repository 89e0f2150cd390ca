"""Steps at a target after a sync: upload, staged artifacts, commands."""
