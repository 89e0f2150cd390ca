"""Files that are left out because their names, or what they lead to, say that they hold secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hsm.model import PlanItem, Problem, Reason, SourceFile
from hsm.plan.patterns import Patterns

SECRET_FOUND = "secret"  # noqa: S105 - a kind of problem
MOST_NAMED = 20
_HINT = "`secret_patterns` in the target's options says what counts as one."


def find_secrets(files: Sequence[SourceFile], strip: int, patterns: Patterns) -> dict[str, str]:
    """Tell which files of one folder are secrets.

    A symlink is judged by its own name and by every path that it leads to on the way to its content.

    Args:
        files: Of one run, or of the sweep folder.
        strip: How many characters of their paths are the folder itself and its slash.
        patterns: Matched against paths inside the folder, and against the whole paths that symlinks lead to.

    Returns:
        The file's path -> why, for example `matches id_rsa*`.
    """
    by_name = {file.path[strip:]: file.path for file in files}
    secrets = {by_name[name]: f"matches {pattern}" for name, pattern in patterns.find_matches(by_name).items()}
    for file in files:
        if file.leads_to and file.path not in secrets:
            inside = f"{file.prefix}/{file.path[:strip]}"
            matches = patterns.find_matches(hop.removeprefix(inside) for hop in file.leads_to)
            for hop, pattern in matches.items():
                secrets[file.path] = f"leads to {hop}, which matches {pattern}"
                break
    return secrets


def make_secret_notices(items: Iterable[PlanItem]) -> list[Problem]:
    """Name the files of a plan that are left out as secrets: the first ones each, then how many more there are."""
    secrets = [item for item in items if item.reason is Reason.SECRET]
    notices = [
        Problem(item.file.path, SECRET_FOUND, f"Left out as a secret: it {item.detail}.", _HINT, is_failure=False)
        for item in secrets[:MOST_NAMED]
    ]
    n_more = len(secrets) - len(notices)
    if n_more > 0:
        message = f"{n_more:,} more files are left out as secrets; `--dry-run -v` lists them."
        notices.append(Problem("", SECRET_FOUND, message, _HINT, is_failure=False))
    return notices
