"""Options that several commands of `hsm sync` share, and what they mean."""
