"""Push of new rows of scores to the coordinator, over SSH."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import DamagedScoresError, TargetError
from hsm.hosts.inventory.node import ClusterNode, Inventory
from hsm.hosts.reach.login import find_logins
from hsm.hosts.scores.coordinator import fetch_scores
from hsm.hosts.scores.losses import TableLoss, list_losses
from hsm.hosts.scores.pull import read_last_numbers
from hsm.hosts.scores.tables import open_both, write_delta
from hsm.process.runner import Runner
from hsm.remote.shell import quote, quote_path

# Exit status of a shell that does not find a program (POSIX, sh(1)).
_MISSING = 127


@dataclass(frozen=True, slots=True)
class PushDelta:
    """The rows that the coordinator has not.

    Attributes:
        n_rows: Those that a push brings.
        left: What it does not bring, by table: a table, a column or a primary key in common is missing.
    """

    n_rows: int
    left: tuple[TableLoss, ...]


def make_push_delta(inventory: Inventory, database: Path, to: Path, *, hosts_file: Path | None = None) -> PushDelta:
    """Write the rows that the coordinator has not into a new file.

    Raises:
        TargetError: No way leads to the coordinator's file (kind `no_source`), or one of the files is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="hsm-scores-") as folder:
        theirs = Path(folder) / "theirs.db"
        fetch_scores(inventory, theirs, hosts_file)
        try:
            with open_both(database, theirs) as connection:
                losses = list_losses(connection, read_last_numbers(database))
                left = tuple(loss for loss in losses if not loss.can_be_pushed)
                return PushDelta(write_delta(connection, to), left)
        except sqlite3.Error as error:
            raise DamagedScoresError(f"{database} cannot be read: {error}.") from error


def send_delta(node: ClusterNode, delta: Path, database: str, *, remote_hsm: str = "hsm") -> int:
    """Let `hsm hosts scores merge` at the coordinator put in the rows of a file.

    Args:
        node: The coordinator.
        delta: The file with the rows.
        database: The score file there, absolute, `~/...`, or relative to the home folder.
        remote_hsm: The program there.

    Returns:
        The number of rows that were put in.

    Raises:
        UnreachableError: No login.
        TargetError: There is no hsm (kind `hsm_missing`), or it could not merge them (`merge_failed`).
    """
    from hsm.remote.openssh.client import OpenSsh  # noqa: PLC0415 - 100 ms of pydantic, where there are rows to send

    logins = find_logins([node])
    if node.name not in logins:
        raise TargetError(f"{node.name} has no address.", hint="Give it one in the hosts file.", kind="no_source")
    ssh = OpenSsh(node.name, logins[node.name], Runner())
    program = quote_path(remote_hsm) if remote_hsm.startswith("~/") else quote(remote_hsm)
    done = ssh.run(f"{program} hosts scores merge - --db {quote_path(database)} --json", stdin=delta.read_bytes())
    if done.returncode == _MISSING:
        raise TargetError(
            f"There is no {remote_hsm} at {node.name}.",
            hint="Install it there, or give --remote-hsm.",
            kind="hsm_missing",
        )
    try:
        answer = json.loads(done.stdout)
        error = answer.get("error") or {}
        if done.returncode == 0:
            return int(answer["n_merged"])
        message = str(error.get("message", "it failed"))
    except (ValueError, KeyError, TypeError, AttributeError):
        message = "its answer cannot be understood"
    raise TargetError(
        f"{node.name} did not merge the rows: {message}",
        hint="Nothing was changed there.",
        kind="merge_failed",
        detail=done.stderr_text[-2000:],
    )
