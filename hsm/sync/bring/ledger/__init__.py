"""The ledger of an exchange: locks, journal, receipt, and whose the files at the destination are."""
