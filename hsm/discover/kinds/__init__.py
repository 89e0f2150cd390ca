"""What gives runs to sweeps of every kind: names in logs, agents' files, arguments, receipts."""
