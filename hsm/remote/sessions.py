"""Limits of the sessions at one target, the same for every client."""

from __future__ import annotations

MOST_ENTRIES = 10_000_000
"""Of one listing, which is in memory as a whole; who sends more is broken or hostile."""

SESSION_TIMEOUT_SECONDS = 600
"""For one program there; `hsm.remote.shell_programs.job` runs what may take longer."""

MAX_SESSIONS = 8
"""For workers: sshd allows ten sessions over one login by default; two stay free, for HSM's questions and the user."""
