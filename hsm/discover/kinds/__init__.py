"""Claims of sweeps of every kind to runs: names in logs, agents' files, arguments, receipts."""
