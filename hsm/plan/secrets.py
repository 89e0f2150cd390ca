"""Secrets: files left out because their names, or what symlinks lead to, say that they hold keys or passwords. Pure.

What is sent to another machine by a tool that nobody watches must not hold keys. Names are not enough: what lies in
small text files is looked at by `hsm.discover.secrets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hsm.model import PlanItem, Problem, Reason, SourceFile
from hsm.plan.notices import make_notices
from hsm.plan.patterns import Patterns

SECRET_FOUND = "secret"  # noqa: S105 - a kind of problem


def find_secrets(files: Sequence[SourceFile], strip: int, patterns: Patterns) -> dict[str, str]:
    """Find the files of one folder that are secrets.

    A symlink is judged by its own name and by every path that it leads to on the way to its content.

    Args:
        files: Of one run, or of the sweep folder.
        strip: How many characters of their paths are the folder itself and its slash.
        patterns: Matched against paths inside the folder, and against the whole paths that symlinks lead to.

    Returns:
        The file's path -> the reason, for example `matches id_rsa*`.
    """
    by_name = {file.path[strip:]: file.path for file in files}
    secrets = {by_name[name]: f"matches {pattern}" for name, pattern in patterns.find_matches(by_name).items()}
    for file in files:
        # Its content is what would be sent: a link `data.txt` to `~/.ssh/id_rsa` is the key.
        if file.leads_to and file.path not in secrets:
            # Hops in the folder lose its path, so that patterns that a slash anchors match them as they match files.
            inside = f"{file.prefix}/{file.path[:strip]}"
            matches = patterns.find_matches(hop.removeprefix(inside) for hop in file.leads_to)
            for hop, pattern in matches.items():
                secrets[file.path] = f"leads to {hop}, which matches {pattern}"
                break
    return secrets


def make_secret_notices(items: Iterable[PlanItem]) -> list[Problem]:
    """Name the files of a plan that are left out as secrets."""
    return make_notices(
        [item for item in items if item.reason is Reason.SECRET],
        kind=SECRET_FOUND,
        describe=lambda item: f"Left out as a secret: it {item.detail}.",
        more="files are left out as secrets",
        hint="`secret_patterns` in the target's options says what counts as one.",
    )
