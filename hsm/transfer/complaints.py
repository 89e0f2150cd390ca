"""Complaints: the meaning of a failed system call's number for a transfer. Pure.

The numbers are Linux's, and macOS's where they differ, because they may come from either.
"""

from __future__ import annotations

from dataclasses import dataclass

from hsm.errors import DiskError, NoInodesError, NoSpaceError, TargetError

_AGAIN = "then run the same command again."


@dataclass(frozen=True, slots=True)
class Complaint:
    """The meaning of some numbers of errors.

    Attributes:
        error: The class of error that they stand for.
        kind: As in `hsm.errors.HsmError`.
        numbers: Of `errno`.
        message: With `{at}` for the place.
        hint: The next thing to do.
    """

    error: type[TargetError]
    kind: str
    numbers: frozenset[int]
    message: str
    hint: str

    def make_error(self, at: str) -> TargetError:
        """Make the error for a place, such as `at desktop` or `on this machine`."""
        return self.error(self.message.format(at=at), hint=self.hint, kind=self.kind)


NO_SPACE = Complaint(
    NoSpaceError, "no_space", frozenset({28}), "The disk {at} is full.", f"Free some space there, {_AGAIN}"
)
# The same number: a disk that could still write to a file that is there is not full. See `is_making`.
NO_INODES = Complaint(
    NoInodesError,
    "no_inodes",
    frozenset({28}),
    "No further file can be made {at}: its file system has no free inodes (or not even room for a name).",
    f"Remove files that nobody needs there (`df -i` counts them), {_AGAIN}",
)
READ_ONLY = Complaint(
    DiskError,
    "read_only",
    frozenset({30}),
    "The file system {at} is read-only.",
    "Choose other `paths`, or have it mounted for writing.",
)
NO_PERMISSION = Complaint(
    TargetError,
    "no_permission",
    frozenset({13, 1}),
    "Permission is missing for a file or folder {at}.",
    "Look at the paths that are named and their permissions.",
)

COMPLAINTS = (
    NO_SPACE,
    NO_INODES,
    Complaint(
        DiskError,
        "quota",
        frozenset({122, 69}),
        "The quota {at} is used up: of space, or of files.",
        f"Free some space or files there (`quota -s` shows the limits on many machines), {_AGAIN}",
    ),
    READ_ONLY,
    NO_PERMISSION,
    Complaint(
        DiskError,
        "failing_disk",
        frozenset({5, 116}),
        "The file system {at} fails: it cannot be read or written.",
        "Try again later; if it stays so, tell whoever runs the machine.",
    ),
)


def explain_number(number: int, at: str, *, is_making: bool = False) -> TargetError | None:
    """Make the error that an `errno` stands for; None for one that says nothing of the place.

    Args:
        number: Its value.
        at: The place, such as `at desktop` or `on this machine`.
        is_making: A file or folder was to be made, which also fails where there is no room for a name alone.
    """
    for complaint in COMPLAINTS:
        if number in complaint.numbers and not (is_making and complaint is NO_SPACE):
            return complaint.make_error(at)
    return None
