"""Safety checks between plan and transfer, which refuse what would do harm. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hsm.endpoint import Space
from hsm.errors import UsageError
from hsm.model import EntryKind, Problem, Reason, Root, SyncPlan
from hsm.plan.destination import Destination, DestinationRoot

POSSIBLE_SECRET = "possible_secret"  # noqa: S105 - a kind of problem
DESTINATION_GONE = "destination-gone"
_MOST_PATHS = 5

CHECKS: Mapping[str, str] = {
    "source-empty": "the source has nothing of the sweep while the destination has files of it",
    DESTINATION_GONE: "a target's folder on this machine is missing or empty, although sweeps were brought there",
    "destination-type": "a folder of `paths` is something else there, or something else is in its way",
    "space": "the files to send need more bytes than are free there",
    "inodes": "the files to send are more than the file system there takes",
    "secrets": "files to send look as if they held secrets, and the target has `secrets: refuse`",
}
"""Every check by the name that `--allow` takes, with what it refuses."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason why a plan must not be carried out.

    Attributes:
        check: Its name in `CHECKS`.
        message: One sentence.
        hint: What to do next.
    """

    check: str
    message: str
    hint: str


def parse_checks(names: Iterable[str]) -> frozenset[str]:
    """Read the names that `--allow` is given.

    Raises:
        UsageError: There is no such check.
    """
    allowed = frozenset(names)
    for name in sorted(allowed - CHECKS.keys()):
        known = "; ".join(f"{check}: {meaning}" for check, meaning in CHECKS.items())
        raise UsageError(f"There is no safety check {name!r}.", hint=f"There are: {known}.", kind="usage")
    return allowed


def check_plan(
    plan: SyncPlan,
    destination: Destination,
    *,
    known: Collection[str] = (),
    cleaned: Collection[str] = (),
    may_lack_folder: bool = False,
) -> tuple[Refusal, ...]:
    """Find the reasons not to carry out `plan`; none means that it may be carried out.

    Args:
        plan: What is to be done.
        destination: What is there.
        known: Runs of which files were verified there by an earlier call; the sweep folder is the empty name.
        cleaned: Those of them that `hsm sync clean` removed at the source, so that their absence means nothing.
        may_lack_folder: The sweep's folder at the destination may be that place's own.
    """
    return (
        *_check_source(plan, destination, known, cleaned, may_lack_folder=may_lack_folder),
        *_check_types(destination),
        *_check_space(plan, destination),
    )


def check_secrets(problems: Iterable[Problem]) -> tuple[Refusal, ...]:
    """Refuse a plan because of what was found in its files; for targets with `secrets: refuse`.

    Args:
        problems: Among them those of `hsm.discover.secrets.scan_files`.
    """
    found = [problem for problem in problems if problem.kind == POSSIBLE_SECRET]
    if not found:
        return ()
    paths = dict.fromkeys(problem.path for problem in found if problem.path)
    more = ", and more" if len(paths) > _MOST_PATHS or len(paths) < len({problem.path for problem in found}) else ""
    message = f"Files to be sent look as if they held secrets: {', '.join(list(paths)[:_MOST_PATHS])}{more}."
    hint = "Look at the lines named; leave the files out with `exclude`, or `--allow secrets` sends them."
    return (Refusal("secrets", message, hint),)


def _check_source(
    plan: SyncPlan,
    destination: Destination,
    known: Collection[str],
    cleaned: Collection[str],
    *,
    may_lack_folder: bool,
) -> list[Refusal]:
    refusals = []
    for root, there in destination.items():
        has_source = any(item.file.root is root for item in plan.items) or (root is Root.SWEEPS and plan.deeper)
        # If all runs are gone here, nothing was asked for and the listing is empty; the journal still knows of them.
        missed = [name for name in known if name not in cleaned]
        was_there = any((name == "") is (root is Root.SWEEPS) for name in missed)
        # A clean leaves the copy at the target as it is: files there are no sign that the source's disk is missing.
        is_explained = root is Root.SWEEPS and ("" in cleaned or may_lack_folder)
        is_there = not is_explained and any(entry.kind is EntryKind.FILE for entry in there.entries.values())
        if not has_source and (is_there or was_there):
            message = f"The source has nothing of {plan.sweep} for {there.path}, which holds files of it."
            hint = "Is the source's disk mounted, or was it moved? `--allow source-empty` goes on."
            refusals.append(Refusal("source-empty", message, hint))
    return refusals


def _check_types(destination: Destination) -> list[Refusal]:
    refusals = []
    for there in destination.values():
        blocked = there.kind if there.kind is not None else there.nearest
        if blocked is not EntryKind.FOLDER:
            message = f"{there.path} cannot be a folder there: something else has its name or a parent's."
            hint = "Correct `paths` of the target, or move it away."
            refusals.append(Refusal("destination-type", message, hint))
    return refusals


def _check_space(plan: SyncPlan, destination: Destination) -> list[Refusal]:
    # Both roots may lie on one file system, which shows by its name, and where that is unknown by equal numbers.
    needs: dict[str | Space, list[_Need]] = {}
    for root, there in destination.items():
        sends = [item for item in plan.items if item.reason.is_send and item.file.root is root]
        # All bytes count, of replaced files too: a file is written beside the old one, then renamed.
        n_bytes = sum(item.file.n_needed_bytes for item in sends)
        n_files = sum(item.reason is Reason.NEW for item in sends)  # the others take the place of files
        needs.setdefault(there.device or there.space, []).append(_Need(there, n_bytes, n_files))
    refusals = []
    for shares in needs.values():
        space = shares[0].there.space
        n_bytes = sum(need.n_bytes for need in shares)
        n_files = sum(need.n_files for need in shares)
        if space.free_bytes is not None and n_bytes > space.free_bytes:
            paths = _join([need.there.path for need in shares if need.n_bytes])
            missing = n_bytes - space.free_bytes
            message = f"{paths} {n_bytes} bytes, {space.free_bytes} are free: {missing} are missing."
            refusals.append(Refusal("space", message, "Free some, or `--allow space` tries all the same."))
        if space.free_inodes is not None and n_files > space.free_inodes:
            paths = _join([need.there.path for need in shares if need.n_files])
            missing = n_files - space.free_inodes
            message = f"{paths} {n_files} new files, {space.free_inodes} are free: {missing} are missing."
            refusals.append(Refusal("inodes", message, "Free some, or `--allow inodes` tries all the same."))
    return refusals


@dataclass(frozen=True, slots=True)
class _Need:
    """Files and bytes that one root is to receive."""

    there: DestinationRoot
    n_bytes: int
    n_files: int


def _join(paths: Sequence[str]) -> str:
    return f"{' and '.join(paths)} {'needs' if len(paths) == 1 else 'need'}"
