"""Decision of a clean: from what was found here and at the targets to a verdict for each unit. Pure.

It errs to one side alone: a unit of which anything is not verified stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hsm.model import EntryKind, Root, SourceFile
from hsm.records.cleaned import CleanedUnit
from hsm.sync.clean.comparison import count_places, find_unclear, iter_lacks
from hsm.sync.clean.folders.nesting import keep_around, keep_folder, list_holders
from hsm.sync.clean.names import is_hsm_path, is_needless_link, is_receipt
from hsm.sync.clean.values import CleanOptions, Copy, Lack, ProjectLink, Seen, Unit, UnitVerdict

REST_NS = 10 * 10**9
"""A run that was written to within this time may still be written to: `finish()` returns while the log still grows."""


def decide_all(
    units: Sequence[Unit],
    copies: Mapping[str, Sequence[Copy]],
    options: CleanOptions,
    *,
    roots: Collection[Root],
    now_ns: int,
    links: Sequence[ProjectLink] = (),
) -> tuple[UnitVerdict, ...]:
    """Decide about all units of a sweep.

    Args:
        units: All that lie here, those that are not asked for too: what stays may need what is asked for.
        copies: Those of the targets that could be looked at, by a unit's path here.
        options: Conditions that the user sets.
        roots: Runs, the sweep's folder, or both are asked for.
        now_ns: The clock of this machine.
        links: The symlinks of the project that lead into units.

    Returns:
        The verdicts of what is asked for: runs first, then jobs, in the order of `units`.
    """
    verdicts = [decide(unit, copies.get(unit.path, ()), options, now_ns=now_ns) for unit in units]
    # What is not asked for stays even if it could go, and so does what its symlinks lead into.
    verdicts = [verdict if verdict.unit.root in roots else replace(verdict, goes=False) for verdict in verdicts]
    runs = keep_what_links_need([verdict for verdict in verdicts if verdict.unit.name], links)
    removes_runs = Root.WANDB in roots
    jobs = keep_around([*runs, *(verdict for verdict in verdicts if verdict.unit.job)])[len(runs) :]
    folders = [
        keep_folder(verdict, runs, removes_runs=removes_runs, jobs=jobs)
        for verdict in verdicts
        if verdict.unit.is_sweep
    ]
    found = _keep_all_around([*runs, *jobs, *folders], links)
    return tuple(verdict for verdict in found if verdict.unit.root in roots)


def decide(unit: Unit, copies: Sequence[Copy], options: CleanOptions, *, now_ns: int) -> UnitVerdict:
    """Decide whether a unit, taken by itself, may be removed here.

    Args:
        unit: As it lies here.
        copies: Those of the targets that could be looked at.
        options: Conditions that the user sets.
        now_ns: The clock of this machine.
    """
    waived = unit.superseded if options.allows_superseded else frozenset()
    waiting = tuple(_iter_waiting(unit, options, now_ns))
    if waiting or unit.blocks:
        return UnitVerdict(unit, goes=False, reasons=(*waiting, *unit.blocks), is_open=bool(waiting))
    own = tuple(f"{lack.path}: {lack.why}" for lack in _iter_own_lacks(unit))
    lacks = {copy.target: tuple(iter_lacks(unit, copy, options, waived)) for copy in copies}
    proven = [copy for copy in copies if not lacks[copy.target]]
    n_places = count_places(proven, unit)
    reasons = own
    if n_places < options.n_copies:
        reasons += (_describe_copies(proven, n_places, options.n_copies),)
        reasons += tuple(
            f"{one} and {other} may be one machine, and SFTP shows no inodes, so hard links cannot be excluded"
            for one, other in find_unclear(proven, unit)
        )
    return UnitVerdict(
        unit=unit,
        goes=not reasons,
        copies=tuple(copy.target for copy in proven),
        reasons=reasons,
        lacks={target: found for target, found in lacks.items() if found},
        waived=waived,
    )


def is_too_early(unit: Unit, options: CleanOptions, *, now_ns: int) -> bool:
    """Tell whether a unit stays at any number of copies, so that nothing of it need be read."""
    return bool(unit.blocks) or any(True for _ in _iter_waiting(unit, options, now_ns))


def _keep_all_around(verdicts: Sequence[UnitVerdict], links: Sequence[ProjectLink]) -> list[UnitVerdict]:
    """Let stay what holds something that stays, and what its symlinks lead into, until nothing changes any more."""
    found = list(verdicts)
    while True:
        kept = keep_around(keep_what_links_need(found, links))  # a folder that stays may need a run
        if kept == found:
            return found
        found = kept


def keep_what_links_need(verdicts: Sequence[UnitVerdict], links: Sequence[ProjectLink] = ()) -> list[UnitVerdict]:
    """Let a unit stay into which a symlink leads that stays: one of another unit, or one anywhere in the project."""
    found = list(verdicts)
    while True:
        staying = list(_iter_staying(found, links))
        kept = [_keep_if_needed(verdict, staying) for verdict in found]
        if kept == found:
            return found
        found = kept


def _iter_staying(verdicts: Sequence[UnitVerdict], links: Sequence[ProjectLink]) -> Iterator[ProjectLink]:
    """Yield the symlinks that stay: those that lie in no unit that goes."""
    paths = {verdict.unit.path for verdict in verdicts}
    going = {verdict.unit.path for verdict in verdicts if verdict.goes}
    for link in links:
        holders = list_holders(link.path, paths)
        if not holders or holders[0] not in going:  # the innermost: a run may lie in the sweep's folder
            yield link
    for verdict in verdicts:
        for file in verdict.unit.files.values() if not verdict.goes else ():
            units = frozenset(path for path in going if file.real.startswith(f"{path}/"))
            if units:
                yield ProjectLink(f"{verdict.unit.path}/{file.path.rpartition('/')[2]}", units)


def _keep_if_needed(verdict: UnitVerdict, links: Iterable[ProjectLink]) -> UnitVerdict:
    link = next((link for link in links if verdict.unit.path in link.units), None)
    if not verdict.goes or link is None:
        return verdict
    words = f"a symlink that stays leads into it: {link.path}"
    if link.unread:
        words = f"a symlink in {link.path} may lead into it, which cannot be read: {link.unread}"
    return replace(verdict, goes=False, reasons=(words,))


def find_holders(verdicts: Sequence[UnitVerdict], links: Sequence[ProjectLink]) -> dict[str, frozenset[str]]:
    """Find for each unit the others that it must outlive, by paths: in which symlinks lie that lead into it, or in it.

    In the order in which units may be removed: those others come before it, as far as they lead in no circle. One that
    stays after all keeps what it leads into and what it lies in.
    """
    paths = [verdict.unit.path for verdict in verdicts]
    holders: dict[str, set[str]] = {path: set() for path in paths}
    for path in paths:
        for outer in list_holders(path, holders):
            holders[outer].add(path)
    for link in links:
        for holder in [path for path in paths if link.path.startswith(f"{path}/")]:
            for unit in link.units - {holder}:
                if unit in holders:
                    holders[unit].add(holder)
    found: dict[str, frozenset[str]] = {}
    while waiting := [path for path in holders if path not in found]:
        free = [path for path in waiting if holders[path] <= found.keys()] or waiting[:1]
        found |= {path: frozenset(holders[path]) for path in free}
    return found


def _iter_waiting(unit: Unit, options: CleanOptions, now_ns: int) -> Iterator[str]:
    """Yield why it is too early."""
    yield from unit.waits
    if unit.recorded is None and unit.name and (unit.run is None or not unit.run.has_exit_record):
        yield f"it has not ended ({unit.run.state.value if unit.run else 'unknown'})"
    elif unit.run is not None and not unit.run.at_rest:
        yield "its log has been written to within the last 10 seconds"
    times = [
        seen.mtime_ns
        for path, seen in unit.entries.items()
        if seen.kind is EntryKind.FILE and not is_receipt(path, is_folder=unit.is_sweep)
    ]
    age_ns = now_ns - max(times, default=0)
    if unit.recorded is not None:  # under its name `aside` nobody goes on with it
        return
    if age_ns < REST_NS:
        yield "it has been written to within the last 10 seconds"
    elif age_ns < options.older_than_ns:
        yield "it has been written to more recently than --older-than asks"


def _iter_own_lacks(unit: Unit) -> Iterator[Lack]:
    """Yield what no target can stand for."""
    parents = {path.rpartition("/")[0] for path in unit.entries}
    for path, seen in sorted(unit.entries.items()):
        if unit.recorded is not None:
            yield from _iter_unrecorded(unit.recorded, path, seen, unit.checksums.get(path, ""))
        elif path in unit.files:
            yield from _iter_changed(unit.files[path], path, seen, unit.checksums.get(path, ""))
        elif seen.kind is EntryKind.FILE and not is_receipt(path, is_folder=unit.is_sweep):
            yield Lack(path, "is never sent, so it is nowhere else")
        elif seen.kind is EntryKind.SYMLINK and not is_needless_link(path, is_run=bool(unit.name)):
            yield Lack(path, "is a symlink that is not sent")
        elif seen.kind is EntryKind.OTHER:
            yield Lack(path, "is a socket, a device or a pipe")
        elif seen.kind is EntryKind.FOLDER and path not in parents and is_hsm_path(path):
            yield Lack(path, "is a folder of HSM's own that is in use")
    if unit.recorded is None:
        yield from (Lack(path, "is no longer here") for path in sorted(unit.files) if path not in unit.entries)


def _iter_changed(file: SourceFile, path: str, seen: Seen, checksum: str) -> Iterator[Lack]:
    """Yield how a file differs between the inventory, the walk and the reading, which were made one after another."""
    is_link = seen.kind is EntryKind.SYMLINK
    # A symlink counts by the content that it leads to, which its own time does not tell; its checksum does.
    is_same = is_link or (seen.kind, seen.size, seen.mtime_ns) == (EntryKind.FILE, file.size, file.mtime_ns)
    if is_link != file.is_link or not is_same:
        yield Lack(path, "changes while it is looked at")
    elif not checksum:
        yield Lack(path, "cannot be read")


def _iter_unrecorded(recorded: CleanedUnit, path: str, seen: Seen, checksum: str) -> Iterator[Lack]:
    """Yield how the rest that an interrupted clean left differs from its record, which holds every byte of it."""
    if seen.kind is EntryKind.FOLDER:
        return
    if seen.kind is EntryKind.SYMLINK:
        if recorded.links.get(path) != seen.link_target:
            yield Lack(path, "is not what was recorded before an interrupted clean")
        return
    known = recorded.files.get(path) or recorded.superseded.get(path) or recorded.own.get(path)
    if known is None or (known.size, known.mtime_ns, known.sha256) != (seen.size, seen.mtime_ns, checksum):
        yield Lack(path, "is not what was recorded before an interrupted clean")


def _describe_copies(proven: Sequence[Copy], n_places: int, wanted: int) -> str:
    if len(proven) > n_places:
        names = ", ".join(copy.target for copy in proven)
        return f"{n_places} of {wanted} copies are proven: {names} are not all different places"
    names = f" ({', '.join(copy.target for copy in proven)})" if proven else ""
    return f"{n_places} of {wanted} {'copy is' if wanted == 1 else 'copies are'} proven{names}"
