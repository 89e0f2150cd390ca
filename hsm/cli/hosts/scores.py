"""`hsm hosts scores`: the coordinator's score file and the nodes' copies, kept in step."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.cli.hosts.options import HostsFileOption, Timeout, load_hosts
from hsm.cli.json_document import print_document
from hsm.cli.sync.options.declarations import Json
from hsm.errors import ExitCode, TargetError, UsageError

if TYPE_CHECKING:
    from hsm.hosts.inventory.node import Inventory


_MAX_DELTA_BYTES = 256 * 1024 * 1024

Database = Annotated[Path, typer.Option("--db", metavar="FILE", help="The SQLite file here.", show_default=False)]


def pull_scores(
    db: Database,
    discard: Annotated[
        bool, typer.Option("--discard", help="Also where rows, columns or tables that only this file has are lost.")
    ] = False,
    hosts_file: HostsFileOption = None,
    as_json: Json = False,
) -> None:
    """Replace the score file here by the coordinator's, whole or not at all.

    The ways to it are tried in the order of `elo_sync.transports`. Programs that have the file open go on with the old
    content or the new. Killed at any moment, the file is the old one or the new one. The last three contents are kept
    beside it, as FILE.hsm-backup, FILE.hsm-backup-2 and FILE.hsm-backup-3.

    Exit codes: 0 it is there, 1 it could not be had, 2 usage or hosts file, 12 rows here would be lost, or the
    coordinator's file is empty.
    """
    from hsm.cli.render import show_lines, show_note
    from hsm.hosts.scores.pull import pull_database

    inventory = load_hosts(hosts_file)
    _refuse_at_coordinator(inventory, "pulled from")
    if not db.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {db.parent}.", hint="Make it, or correct --db.", kind="no_folder")
    try:
        pulled = pull_database(inventory, db.absolute(), discard=discard, hosts_file=hosts_file)
    except OSError as error:
        raise TargetError(
            f"{db} cannot be written: {error.strerror}.", hint="Check its permissions.", kind="no_permission"
        ) from error
    if as_json:
        before = asdict(pulled.before) if pulled.before else None
        document = {"way": asdict(pulled.way), "size": pulled.fetched.size, "sha256": pulled.fetched.sha256}
        kept = {"kept_tables": list(pulled.kept_tables), "was_damaged": pulled.was_damaged}
        print_document("hosts scores pull", {**document, "before": before, **kept, "failures": pulled.failures})
        return
    for way, why in pulled.failures.items():
        show_note(f"Note: {way} failed: {why}")
    changes = ""
    if pulled.before:
        changes = f", {pulled.before.n_missing:,} rows new and {pulled.before.n_differing:,} changed"
    if pulled.was_damaged:
        show_note(f"Note: {db} was damaged; it is kept as {db}.hsm-damaged.")
    if pulled.kept_tables:
        show_note(f"Note: the coordinator has no {', '.join(pulled.kept_tables)}; kept here as it is.")
    show_lines([f"{db}: {pulled.fetched.size:,} bytes by {pulled.way.transport} from {pulled.way.url}{changes}"])


def push_scores(
    db: Database,
    remote_db: Annotated[
        str | None,
        typer.Option(
            "--remote-db", metavar="PATH", help="The file at the coordinator.", show_default="--db below its path"
        ),
    ] = None,
    remote_hsm: Annotated[str, typer.Option("--remote-hsm", metavar="PATH", help="The hsm there.")] = "hsm",
    hosts_file: HostsFileOption = None,
    as_json: Json = False,
) -> None:
    """Send the rows that the coordinator has not to it, over SSH; `hsm` there merges them.

    Rows are told apart by primary key. What the coordinator has stays as it is. A table that it has not, or not with
    these columns, or that has no primary key, is left, and named.

    Exit codes: 0 they are there, or there are none, 1 they could not be merged, or some were left, 2 usage or hosts
    file, 10 the coordinator cannot be reached.
    """
    from hsm.cli.render import show_lines, show_note
    from hsm.hosts.scores.coordinator import get_coordinator
    from hsm.hosts.scores.push import make_push_delta, send_delta

    inventory = load_hosts(hosts_file)
    node = get_coordinator(inventory)
    _refuse_at_coordinator(inventory, "pushed to")
    if not db.is_file():
        raise UsageError(f"There is no file {db}.", hint="Correct --db.", kind="no_db")
    if remote_db is None and db.is_absolute():
        raise UsageError("--db is absolute, so the file there must be named.", hint="Give --remote-db.", kind="usage")
    with tempfile.TemporaryDirectory(prefix="hsm-push-") as folder:
        delta = Path(folder) / "delta.db"
        found = make_push_delta(inventory, db, delta, hosts_file=hosts_file)
        n_merged = 0
        if found.n_rows:
            n_merged = send_delta(node, delta, remote_db or f"{node.path}/{db}", remote_hsm=remote_hsm)
    code = ExitCode.PARTIAL if found.left else ExitCode.DONE
    if as_json:
        left = [asdict(loss) for loss in found.left]
        counts = {"n_new": found.n_rows, "n_merged": n_merged, "left": left}
        print_document("hosts scores push", {"coordinator": node.name, **counts}, code=code)
    else:
        for loss in found.left:
            show_note(f"Note: {loss.n_rows:,} rows of {loss.table} are left: {loss.reason}.")
        if found.n_rows:
            show_lines([f"{found.n_rows:,} rows sent to {node.name}, {n_merged:,} merged there"])
        elif not found.left:
            show_lines([f"{node.name} has every row of {db}"])
    raise typer.Exit(int(code))


def show_score_status(
    hosts_file: HostsFileOption = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Compare the scores of all active machines with the coordinator's.

    Exit codes: 0 all that answer are in step, 1 a rating differs by more than `divergence_threshold`, or the
    coordinator's file cannot be had, 2 usage or hosts file.
    """
    from hsm.hosts.reach.statuses import read_statuses
    from hsm.hosts.scores.node_scores import read_scores

    inventory = load_hosts(hosts_file)
    nodes = [node for node in inventory.nodes.values() if node.is_active]
    found = read_statuses(nodes, port=inventory.elo_sync.sync_port, timeout=timeout)
    statuses = {one.node.name: one.answer.content for one in found if one.answer.content is not None}
    scores = read_scores(inventory, statuses, {one.node.name: one.base_url for one in found})
    code = ExitCode.PARTIAL if any(one.has_diverged for one in scores) else ExitCode.DONE
    if as_json:
        threshold = inventory.elo_sync.divergence_threshold
        hosts = [asdict(one) for one in scores]
        print_document("hosts scores status", {"divergence_threshold": threshold, "hosts": hosts}, code=code)
    else:
        from hsm.cli.render.hosts import show_scores

        show_scores(scores, threshold=inventory.elo_sync.divergence_threshold)
    raise typer.Exit(int(code))


def merge_scores(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="The SQLite file whose rows are put in; `-` for standard input.")
    ],
    db: Database,
    as_json: Json = False,
) -> None:
    """Put the rows of another file into the score file here, by primary key, in one transaction.

    Rows that are there stay as they are. The former content is kept beside it as FILE.hsm-backup. `hsm hosts scores
    push` runs this at the coordinator.

    Exit codes: 0 done, 1 a file is damaged or the rows do not fit; then nothing was changed.
    """
    from hsm.cli.render import show_lines
    from hsm.hosts.scores.database import merge

    if not db.is_file():
        raise UsageError(f"There is no file {db}.", hint="Correct --db.", kind="no_db")
    with tempfile.TemporaryDirectory(prefix="hsm-merge-") as folder:
        delta = Path(source) if source != "-" else _save_input(Path(folder) / "delta.db")
        if not delta.is_file():
            raise UsageError(f"There is no file {source}.", hint="Correct it.", kind="no_db")
        n_merged = merge(delta, db.absolute())
    if as_json:
        print_document("hosts scores merge", {"n_merged": n_merged})
    else:
        show_lines([f"{n_merged:,} rows merged into {db}"])


def _save_input(path: Path) -> Path:
    content = sys.stdin.buffer.read(_MAX_DELTA_BYTES + 1)
    if len(content) > _MAX_DELTA_BYTES:
        raise UsageError(f"More than {_MAX_DELTA_BYTES // 2**20} MiB on standard input.", kind="usage")
    path.write_bytes(content)
    return path


def _refuse_at_coordinator(inventory: Inventory, what: str) -> None:
    from hsm.hosts.scores.coordinator import is_coordinator_here

    if is_coordinator_here(inventory):
        name = inventory.elo_sync.coordinator
        raise UsageError(
            f"This machine is the coordinator {name}: its file is the one that others are {what}.",
            hint="Run this at another machine; `hsm hosts scores status` shows them.",
            kind="is_coordinator",
        )
