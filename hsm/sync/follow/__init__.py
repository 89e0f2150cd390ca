"""`--continuous`: syncing until every run has finished."""
