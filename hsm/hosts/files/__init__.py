"""Files that machines share over HTTP."""
