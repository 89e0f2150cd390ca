"""Diagnosis of rsync's exit codes and complaints. Pure.

Exit codes: rsync's `errcode.h`. A complaint about a system call ends with the error's number (`log.c`, `rsyserr`),
which is the same in every language of the other end (`hsm.transfer.complaints`). Patterns are whole lines, because a
file may be named like any message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hsm.errors import ConnectionDroppedError, HsmError, NoRsyncError, NoShellError, TargetError
from hsm.model import SourceFile
from hsm.remote.noise import quote_words, show_bytes
from hsm.transfer.complaints import COMPLAINTS, NO_SPACE

_N_DETAIL_LINES = 10
_N_NOISE_BYTES = 120
# 12 is also what rsync ends with where there is no rsync at the other end, at random instead of 127: what the shell
# there says decides first (`_diagnose_start`).
_CONNECTION_CODES = frozenset({10, 12, 30, 35, 255})
_MISSING_CODES = frozenset({126, 127})
_TIMEOUT_CODE = 30
_SYSTEM_CALL = re.compile(r"^rsync: (?:\[(?P<role>\w+)\] )?(?P<action>.+): [^\"\n]+ \((?P<number>\d+)\)$", re.MULTILINE)
_QUOTED_PATH = re.compile(r'"(?P<path>[^"]+)"')
_NO_FILE = "missing: "
_NOT_FOUND = re.compile(r"[Nn]ot found|No such file or directory|[Uu]nknown command|no such file or directory")
_MAKING = re.compile(r"mkstemp |mkdir |symlink |mknod |link ")


def diagnose_rsync(
    returncode: int,
    text: str,
    *,
    name: str,
    ssh_command: str,
    pulls: bool = False,
    rsync_path: str = "rsync",
    noise: bytes = b"",
) -> HsmError:
    """Turn rsync's end into an error that names the next command.

    Args:
        returncode: Not 0.
        text: Its standard error.
        name: The target's name.
        ssh_command: The command by which a person reaches the target.
        pulls: The target is the end that sends.
        rsync_path: The program that was to run at the target.
        noise: Text that start-up files at the target print, as far as it is known.
    """
    text = text.replace("\r", "")
    detail = "\n".join(text.strip().splitlines()[-_N_DETAIL_LINES:])
    # A start that failed explains all that follows; a system call explains why the connection ended.
    for error in (
        _diagnose_start(returncode, text, name, ssh_command, rsync_path, noise),
        _diagnose_system_calls(text, name, pulls),
        _diagnose_end(returncode, text, name),
    ):
        if error is not None:
            error.detail = detail
            return error
    last = detail.splitlines()[-1] if detail else "it printed nothing"
    return TargetError(
        f"rsync to {name} ended with code {returncode}: {last}",
        hint="Run the same command again; with -v it shows what rsync said.",
        kind="rsync_failed",
        detail=detail,
    )


def _diagnose_start(
    returncode: int, text: str, name: str, ssh_command: str, rsync_path: str, noise: bytes
) -> HsmError | None:
    """Explain why the two ends did not begin to talk."""
    # Code 2: a start-up file there prints to standard output.
    if re.search(r"^protocol version mismatch -- is your shell clean\?$", text, re.MULTILINE):
        shown = f": {show_bytes(noise, limit=_N_NOISE_BYTES)}" if noise else ""
        return NoShellError(
            f"The shell at {name} prints text before rsync can speak{shown}.",
            hint="Silence its start-up files (~/.bashrc and the like) for sessions without a terminal: "
            f"`{ssh_command} true` must print nothing.",
        )
    missing = _make_missing_expression(rsync_path).search(text)
    if rsync_path != "rsync" and (missing or returncode in _MISSING_CODES):
        return make_wrong_path_error(rsync_path, missing[0] if missing else "", name)
    if returncode in _MISSING_CODES or missing:
        hint = "Install it there, or name it with `rsync_path` in the target's configuration."
        return NoRsyncError(f"There is no rsync at {name}.", hint=hint)
    if re.search(r"^rsync: (?:on remote machine: )?-\S*: unknown option$", text, re.MULTILINE):
        return NoRsyncError(
            f"The rsync at {name} is too old: it does not know an option that HSM needs.",
            hint="HSM needs samba's rsync from 3.1.0 on; name another one with `rsync_path`.",
            kind="rsync_too_old",
        )
    return None


def make_wrong_path_error(rsync_path: str, words: str, name: str) -> NoRsyncError:
    """Make the error for a `rsync_path` that names no rsync.

    Args:
        rsync_path: As configured.
        words: What the shell or the program there said, after `missing: ` where there is no such file.
        name: The target's name.
    """
    hint = "Correct `rsync_path` of the target; without it the rsync is used that PATH finds there."
    said = words.removeprefix(_NO_FILE).strip()
    is_missing = _NOT_FOUND.search(said) is not None
    if is_missing and "/" not in rsync_path:
        return NoRsyncError(f"There is no {rsync_path} at {name}.", hint=hint)
    if is_missing and words.startswith(_NO_FILE):
        return NoRsyncError(f"{rsync_path} does not exist at {name}.", hint=hint)
    shown = quote_words(said.encode()) if said else "it names no version"
    return NoRsyncError(f"{rsync_path} is no rsync that can be run at {name}: {shown}.", hint=hint)


def _make_missing_expression(rsync_path: str) -> re.Pattern[str]:
    """Match the complaints of sh, bash, ksh, zsh, tcsh, fish and env when they cannot start rsync itself."""
    program = rf"(?:[^\s:]*/)?{re.escape(rsync_path.rpartition('/')[2])}"
    missing = r"(?:[Cc]ommand not found\.?|not found|No such file or directory)(?: \[.*\])?"
    what = rf"(?:{missing}|[Pp]ermission denied|cannot execute.*)"
    return re.compile(
        rf"^(?:[^\s:]+: )?(?:(?:line )?\d+: )?(?:exec: )?[\"'\u2018\u201c`]?{program}[\"'\u2019\u201d]?: {what}$"
        rf"|^\S+ (?:command not found|no such file or directory): {program}$"
        rf"|^fish: Unknown command:? [\"'\u201c]?{program}[\"'\u201d]?$"
        r"|^rsync error: remote command not found \(code 127\)",
        re.MULTILINE,
    )


def _diagnose_system_calls(text: str, name: str, pulls: bool) -> HsmError | None:
    found = [
        (int(match["number"]), match["action"].partition('"')[0], (match["role"] or "").lower())
        for match in _SYSTEM_CALL.finditer(text)
    ]
    for complaint in COMPLAINTS:
        calls = [(action, role) for number, action, role in found if number in complaint.numbers]
        if complaint is NO_SPACE and all(map(_MAKING.search, (action for action, _ in calls))):
            continue  # a file that is there already could still be written to
        if calls:
            roles = {role for _, role in calls}
            return complaint.make_error(_name_place(roles, name, pulls))
    return None


def _name_place(roles: set[str], name: str, pulls: bool) -> str:
    """Name the end at which something is wrong; rsync names the roles from 3.1.3 on."""
    here = "on this machine"
    there = here if name == "this machine" else f"at {name}"
    source, destination = (there, here) if pulls else (here, there)
    if roles == {"sender"}:
        return source
    return destination if roles <= {"receiver", "generator"} else " or ".join(dict.fromkeys((there, here)))


def _diagnose_end(returncode: int, text: str, name: str) -> HsmError | None:
    if returncode in _CONNECTION_CODES or returncode < 0:
        pause = ": nothing moved for too long" if returncode == _TIMEOUT_CODE else ""
        return ConnectionDroppedError(
            f"The connection to {name} broke while files were sent{pause}.",
            hint="Run the same command again: it goes on where it stopped.",
        )
    if re.search(r'^(?:file|directory) has vanished: "', text, re.MULTILINE):
        return TargetError("A file vanished while it was sent.", hint="Run the same command again.", kind="vanished")
    return None


def find_complaints(text: str, files: Sequence[SourceFile]) -> dict[str, str]:
    """Assign rsync's complaints to the files that they name, by destination path.

    rsync quotes a path of the source, of the destination, or of its temporary file (`.name.XXXXXX`).
    """
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(file.path.rpartition("/")[2], []).append(file.path)
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _QUOTED_PATH.search(line)
        if match is None:
            continue
        quoted = match["path"]
        name = quoted.rpartition("/")[2]
        stem = re.sub(r"\.\w{6}$", "", name)
        # rsync's temporary file is `.NAME.XXXXXX`.
        candidates = by_name.get(name) or by_name.get(stem) or by_name.get(stem.removeprefix("."), [])
        for path in candidates:
            if len(candidates) == 1 or f"/{quoted}".endswith(f"/{path}"):
                found.setdefault(path, line.partition(": ")[2] or line)
    return found
