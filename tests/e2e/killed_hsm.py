"""Runs `hsm`, and kills it with SIGKILL right before its n-th call of a kind; or counts these calls.

    python killed_hsm.py KINDS N COUNT-FILE ARGUMENTS...

Calls are told by Python's audit events (`open`, `os.rename`, ...), so that nothing of HSM is replaced. The kind
`unlinkat` is `os.remove` in an open folder, which is how a clean removes results.
"""

from __future__ import annotations

import os
import signal
import sys

KINDS = frozenset(sys.argv[1].split(","))
AT = int(sys.argv[2])
COUNT_FILE = sys.argv[3]
_count = 0
_descriptor = os.open(COUNT_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    global _count  # noqa: PLW0603 - a hook has no other memory
    is_at = event == "os.remove" and arguments[1] != -1 and "unlinkat" in KINDS
    if event not in KINDS and not is_at:
        return
    _count += 1
    os.pwrite(_descriptor, f"{_count}\n".encode(), 0)
    if _count == AT:
        os.kill(os.getpid(), signal.SIGKILL)


sys.argv = ["hsm", *sys.argv[4:]]
from hsm.cli.entry import main  # noqa: E402 - the arguments are set first

sys.addaudithook(_hook)
main()
