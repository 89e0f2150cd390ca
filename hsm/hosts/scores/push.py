"""Sending new rows of scores to the coordinator over SSH."""

from __future__ import annotations

import json
from pathlib import Path

from hsm.errors import TargetError
from hsm.hosts.inventory.node import ClusterNode
from hsm.hosts.reach.login import find_logins
from hsm.process.runner import Runner
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.shell import quote, quote_path

_MISSING = 127


def send_delta(node: ClusterNode, delta: Path, database: str, *, remote_hsm: str = "hsm") -> int:
    """Let `hsm hosts scores merge` at the coordinator put in the rows of a file.

    Args:
        node: The coordinator.
        delta: The file with the rows.
        database: The score file there, absolute, `~/...`, or relative to the home folder.
        remote_hsm: The program there.

    Returns:
        How many rows were put in.

    Raises:
        UnreachableError: No login.
        TargetError: There is no hsm (kind `hsm_missing`), or it could not merge them (`merge_failed`).
    """
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
