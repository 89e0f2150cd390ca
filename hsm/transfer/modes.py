"""Modes of files that arrive: those that rsync gives without `--perms`, for the engines that do without it. Pure."""

from __future__ import annotations

from hsm.config.settings import ReceiveMode

RSYNC_CHMOD: dict[ReceiveMode, str] = {"private": "Du+rwx,Fu+rw", "umask": "ugo=rwX"}
"""Values of rsync's `--chmod`: what is new gets what the source is said to have, less the umask there (rsync(1))."""


def choose_mode(source: int, there: int | None, receive_mode: ReceiveMode = "private") -> int:
    """Choose the mode of a file, before the umask takes its bits.

    A file that is replaced keeps its mode. A new one has the source's where that is wanted, so that a private file
    stays private; else all bits that the umask leaves, and the right to be run if the source has it for anybody.

    Args:
        source: Mode of the source.
        there: Mode of the file that is replaced; None where none is.
        receive_mode: The target's option.
    """
    if there is not None:
        return there & 0o777 | 0o600
    if receive_mode == "umask":
        return 0o777 if source & 0o111 else 0o666
    return source & 0o777 | 0o600
