"""Options that several commands of `hsm sync` share."""
