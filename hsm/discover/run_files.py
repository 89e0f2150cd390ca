"""Reader of the files of a sweep's runs, of the state of each run, and of the media that it still needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hsm.discover.files.folder_links import Followed, Places, follow_folders
from hsm.discover.files.junk import mark_junk, may_hold_junk
from hsm.discover.index import RunIndex
from hsm.discover.membership import Candidate, make_run
from hsm.discover.parts import cut_by_bytes
from hsm.discover.results import OWN_PREFIX, Results, is_own
from hsm.discover.wandb_runs import Member
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Entry, EntryKind, Problem, Root, Run, RunVersions, SourceFile
from hsm.plan.versions import has_versions, parse_media_path
from hsm.wandb_log.media import LogMedia, read_versions

_FILES = "files/"
# More bytes than a log has.
_WHOLE = 2**40


def read_run_files(
    endpoint: Endpoint, members: Sequence[Member], *, now_ns: int, places: Places | None = None
) -> tuple[tuple[Run, ...], Results]:
    """List the files of the sweep's runs, all in one survey, and make the runs with their states.

    Args:
        endpoint: The source.
        members: Of the sweep.
        now_ns: The clock there; 0 where unknown.
        places: Follow symlinked folders that lead into these; None for none.
    """
    results = Results()
    if not members:
        return (), results
    names: dict[str, list[str]] = {}
    for member in members:
        names.setdefault(member.candidate.prefix, []).append(member.candidate.name)
    trees = [Tree(prefix, names=tuple(found), follow=True) for prefix, found in names.items()]
    for prefix, listing in zip(names, endpoint.survey(trees).listings, strict=True):
        _take_listing(endpoint, listing, prefix, names[prefix], results, places)
    newest: dict[str, int] = {}
    for file in results.files:
        newest[file.run] = max(newest.get(file.run, 0), file.mtime_ns)
    runs = tuple(
        make_run(member.candidate, member.facts, newest_ns=newest.get(member.candidate.name, 0), now_ns=now_ns)
        for member in members
    )
    return runs, results


def _take_listing(
    endpoint: Endpoint, listing: Listing, prefix: str, names: Sequence[str], results: Results, places: Places | None
) -> None:
    """Take the runs that lie in one folder."""
    followed = follow_folders(endpoint, listing, places) if places is not None else Followed(listing, {})
    found = Results()
    for entry in followed.listing.entries:
        if entry.kind is EntryKind.FOLDER and not entry.link_target:
            continue
        run, _, path = entry.path.partition("/")
        if not _is_run_result(path, entry):
            continue
        if entry.kind is EntryKind.FILE:  # nearly all are, and a call less counts
            file = SourceFile(Root.WANDB, entry.path, prefix, entry.size, entry.mtime_ns, entry.inode, run)
            found.files.append(file)
        else:
            found.take(entry, Root.WANDB, entry.path, prefix, run, places=followed.places.get(entry.path))
    for problem in followed.listing.problems:
        run = problem.path.partition("/")[0]
        found.take_unreadable(problem, run if run in names else None)
    empty = set(names).difference([file.run for file in found.files], [problem.path for problem in listing.problems])
    for name in empty.difference(entry.path for entry in listing.entries) if empty else ():
        message = "The run's folder vanished while it was looked at."
        found.take_unreadable(Problem(name, "vanished", message, "Run the same command again."), name)
    if may_hold_junk(file.path for file in found.files):
        listed = frozenset(f"{prefix}/{entry.path}" for entry in followed.listing.entries)
        found.files = mark_junk(endpoint, found.files, listed)
    results.add(found)


def read_run_versions(
    endpoint: Endpoint, members: Iterable[Member], files: Iterable[SourceFile], *, index: RunIndex
) -> dict[str, RunVersions]:
    """Read the media that are still needed, of the runs that have some at more than one step."""
    paths: dict[str, list[str]] = {}
    for file in files:
        path = file.path.partition("/")[2]
        if path.startswith("files/media/"):
            paths.setdefault(file.run, []).append(path)
    # Only these logs are read whole: 13 MB for 10,000 steps of 20 numbers.
    versioned = [member for member in members if has_versions(paths.get(member.candidate.name, ()))]
    media = _read_media(endpoint, [member.candidate for member in versioned if member.candidate.log], index)
    return {name: make_versions(found, paths[name]) for name, found in media.items() if not found.is_damaged}


def make_versions(media: LogMedia, paths: Iterable[str]) -> RunVersions:
    """Add to the media that a log names those that it does not know of yet. Pure.

    wandb writes a file at once and the log later, and what it has not written when a run is killed stays unknown: such
    a file may be an increment, or belong to another value of the same name.

    Args:
        media: From the run's log.
        paths: Of its media, relative to the run folder.
    """
    unknown = set()
    for path in paths:
        parsed = parse_media_path(path)
        if parsed is not None and parsed.step is not None and parsed.step > media.last_step:
            unknown.add(path.removeprefix(_FILES))
    return RunVersions(media.versions.named | unknown, media.versions.incremental)


def _read_media(endpoint: Endpoint, candidates: Sequence[Candidate], index: RunIndex) -> dict[str, LogMedia]:
    """Read whole logs, as many in one session as memory has room for; by run."""
    media: dict[str, LogMedia] = {}
    unread: dict[str, Candidate] = {}
    for candidate in candidates:
        path, size, mtime_ns = candidate.log_path, candidate.log_size, candidate.log_mtime_ns
        known = index.get_media(path, size=size, mtime_ns=mtime_ns)
        if known is not None:
            media[candidate.name] = known
        else:
            unread[path] = candidate
    for part in cut_by_bytes(unread, lambda path: unread[path].log_size):
        for ends in endpoint.read_ends(part, n_blocks=0, head_bytes=_WHOLE):
            candidate = unread[ends.path]
            media[candidate.name] = found = read_versions(ends.head)
            if ends.size == candidate.log_size:  # else it has grown since it was listed
                index.put_media(ends.path, size=ends.size, mtime_ns=candidate.log_mtime_ns, media=found)
    return media


def _is_run_result(path: str, entry: Entry) -> bool:
    """Tell whether a path in a run is sent: not HSM's own files, nor wandb's symlinks to logs of this machine.

    The run's folder itself counts where it is a symlink.
    """
    if not path:
        return bool(entry.link_target)
    # The search in the text comes first: it is asked of every file, and nearly none is HSM's own.
    if OWN_PREFIX in path and is_own(path.split("/")):
        return False
    # wandb's own symlinks lead to logs in the user's cache on this machine.
    is_debug_log = path.startswith("logs/debug") and path.endswith(".log") and path.count("/") == 1
    return not (is_debug_log and entry.kind is EntryKind.SYMLINK)
