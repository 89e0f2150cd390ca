"""Command lines that are none: which one was meant, and the whole of it to type."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from hsm.cli.lazy import UnknownCommandError, list_names
from hsm.errors import AmbiguousSweepError, HsmError, SweepWordError, UsageError

STATUS_COMMANDS = (
    (("sync", "status"), "what was synced, and what is pending"),
    (("sweep", "status"), "which tasks of a sweep wait, run or failed"),
    (("hosts", "check"), "which machines answer"),
    (("hosts", "scores", "status"), "which machines' scores have drifted"),
)
"""Commands that people look for under `hsm status`, each with what it shows."""

_FOREIGN_OPTIONS = {
    "HSM deletes nothing at a target.": (
        re.compile(r"--(delete(-\w+)*|del|remove-source-files|prune|mirror)"),
        "`hsm sync clean {sweep} --dry-run` shows what can be removed here, because it is verified at a target.",
    ),
    "HSM needs no such option: it copies whole folders with their times, and shows its progress.": (
        re.compile(r"--(archive|recursive|times|perms|progress|partial|human-readable|stats)|-[azrhPptu]+"),
        "",
    ),
}
_SYNONYMS = {
    **dict.fromkeys(("rm", "remove", "delete", "free"), "clean"),
    **dict.fromkeys(("send", "upload", "cp", "copy"), "to"),
    **dict.fromkeys(("get", "fetch", "download"), "from"),
    **dict.fromkeys(("compare", "diff"), "verify"),
    **dict.fromkeys(("setup", "config", "configure"), "init"),
    **dict.fromkeys(("test", "check"), "doctor"),
    **dict.fromkeys(("show", "table", "results"), "report"),
    **dict.fromkeys(("targets", "sweeps"), "list"),
}
"""Commands by the names that other programs give them."""
_TARGET_FLAGS = ("-t", "--target")
_MOST_NAMES = 3


def explain_command(error: UnknownCommandError) -> UsageError:
    """Make the error of a command that does not exist, with the line that was meant."""
    word, rest, group = error.words[0], error.words[1:], error.group
    if not group and word == "status":
        lines = [f"  hsm {' '.join(path):<20}  {about}" for path, about in STATUS_COMMANDS]
        return _make_error(error.message, "\n".join(["it is one of these:", *lines]))
    homes = [path for path in _iter_commands() if path[-1] == word and not group]
    if homes:
        lines = [f"  {_join(path, rest)}" for path in homes]
        hint = "\n".join(["it is one of these:", *lines]) if len(lines) > 1 else f"`{lines[0].strip()}`"
        return _make_error(error.message, hint)
    if group in ((), ("sync",)) and (found := _explain_noun(word, rest)) is not None:
        return found
    path = _find_command(word, error)
    hint = f"Did you mean `{_join(path, rest)}`?" if path else f"`{_join(group, ['--help'])}` lists the commands."
    return _make_error(error.message, hint)


def _find_command(word: str, error: UnknownCommandError) -> Sequence[str]:
    """Find the command that a word may stand for: another name of it, or one that is like it; empty for none."""
    group = error.group
    if _SYNONYMS.get(word) in error.names:
        return (*group, _SYNONYMS[word])
    everywhere = {path[-1]: path for path in reversed([*_iter_commands()])} if not group else {}
    if near := difflib.get_close_matches(word, everywhere, n=1, cutoff=0.7):
        return everywhere[near[0]]
    near = difflib.get_close_matches(word, error.names, n=1)
    return (*group, *near) if near else ()


def explain_usage(error: Any, arguments: Sequence[str]) -> UsageError:  # noqa: ANN401 - typer keeps its class private
    """Make an error of one of Typer's about the command line.

    Args:
        error: What Typer raised.
        arguments: Of the program.
    """
    path = list_names(error.ctx) if error.ctx is not None else ()
    help_ = f"`hsm {' '.join([*path, '--help'])}` shows what it takes."
    option = getattr(error, "option_name", None)
    if option is None or not hasattr(error, "possibilities"):
        return _make_error(error.format_message(), help_)
    for message, (pattern, hint) in _FOREIGN_OPTIONS.items():
        if pattern.fullmatch(option):
            without = [word for word in arguments if not _is_option(word, option)]
            sweep = next((word for word in without[len(path) :] if not word.startswith("-")), "latest")
            advice = hint.format(sweep=shlex.quote(sweep)) if hint else f"`{_join(without)}`"
            return _make_error(f"There is no option {option}. {message}", advice)
    known = [name for parameter in error.ctx.command.params for name in parameter.opts if name.startswith("-")]
    near = difflib.get_close_matches(option, known, n=1, cutoff=0.7)
    hint = f"Did you mean `{_join(_replace(arguments, option, near[0]))}`?" if near else help_
    return _make_error(f"`{' '.join(['hsm', *path])}` has no option {option}.", hint)


def correct_sweep_word(error: SweepWordError, arguments: Sequence[str]) -> HsmError:
    """Put the command that was typed, corrected, into the hint of a word that means no sweep, or several.

    Args:
        error: What the lookup of the word raised.
        arguments: Of the program.
    """
    word, typed = error.word, list(arguments)
    place = next((i for i, each in enumerate(typed) if i > 1 and each == word and typed[i - 1] not in _TARGET_FLAGS), 0)
    if not word or not place or typed[:1] != ["sync"]:
        return error
    if word in _list_targets():
        return error.reword(f"{word!r} is a target, not a sweep.", hint=f"`{_name_target(typed, place)}`")
    near = ["--all"] if word == "all" else difflib.get_close_matches(word, ("latest", "loose"), n=1)
    choices = (*near, *error.choices)[:_MOST_NAMES]
    commands = [f"`{_join(typed[:place], [choice], typed[place + 1 :])}`" for choice in choices]
    if not commands:
        return error.reword(error.message, hint=error.hint.replace("`hsm sync to ", f"`hsm sync {typed[1]} "))
    if isinstance(error, AmbiguousSweepError):
        hint = f"Say which: {', or '.join(commands)}."
    else:
        hint = f"Did you mean {' or '.join([commands[0], *choices[1:]])}?"
    return error.reword(error.message, hint=hint)


def _name_target(typed: Sequence[str], place: int) -> str:
    """Make the command line in which a word that names a target is one."""
    others = [*typed[:place], *typed[place + 1 :]]
    values = [others[i + 1] for i, each in enumerate(others[:-1]) if each in _TARGET_FLAGS]
    has_sweep = any(not each.startswith("-") and each not in values for each in others[2:])
    # What `report` shows is of this machine.
    needs_target = typed[1] != "report" and not set(others).intersection(_TARGET_FLAGS)
    return _join(others[:2], [] if has_sweep else ["latest"], others[2:], ["-t", typed[place]] if needs_target else [])


def _explain_noun(word: str, rest: Sequence[str]) -> UsageError | None:
    """Make the error of a target or a sweep in the place of the command; None where it is neither."""
    if word in _list_targets():
        sweeps = [each for each in rest if not each.startswith("-")]
        command = ["sync", _find_direction(word), *([] if sweeps else ["latest"]), *rest, "-t", word]
        return _make_error(f"{word!r} is a target, not a command.", f"`{_join(command)}`")
    if word not in _list_sweeps() and not re.match(r"sweep_\d", word):
        return None
    return _make_error(f"{word!r} is a sweep, not a command.", f"`{_join(['sync', _find_direction(), word, *rest])}`")


def _list_targets() -> tuple[str, ...]:
    from hsm.cli.sync.options.completions import complete_target

    return tuple(complete_target(""))


def _list_sweeps() -> tuple[str, ...]:
    from hsm.cli.sync.options.completions import complete_sweep

    return (*complete_sweep(""), "latest", "loose")


def _find_direction(*targets: str) -> str:
    """Find which way sweeps go here; `to` where there is no project."""
    from hsm.cli.sync.options.project import load_current_config
    from hsm.sync.status.direction import find_direction

    try:
        return find_direction(load_current_config(), targets)
    except HsmError:
        return "to"


def _iter_commands() -> Iterator[tuple[str, ...]]:
    """Yield the commands of the groups below the root, none by its other names."""
    from hsm.cli.hosts.app import COMMANDS as HOSTS
    from hsm.cli.sweeps.app import COMMANDS as SWEEP
    from hsm.cli.sync.app import COMMANDS as SYNC

    yield from (("sync", name) for name in SYNC)
    yield from (("sweep", name) for name in SWEEP)
    yield from (("hosts", name) for name in HOSTS)


def _is_option(word: str, option: str) -> bool:
    """Tell whether a word of a command line gives an option; a short one may stand among others, as in `-avz`."""
    is_short = len(option) == 2 and re.fullmatch(r"-\w+", word) is not None and option[1] in word
    return word.partition("=")[0] == option or is_short


def _replace(arguments: Sequence[str], word: str, other: str) -> list[str]:
    """Put another word in the place of one, also of an option with its value."""
    start = f"{word}="
    return [other if each == word else f"{other}={each[len(start) :]}" if each.startswith(start) else each
            for each in arguments]  # fmt: skip


def _join(*parts: Sequence[str]) -> str:
    return shlex.join(["hsm", *(word for part in parts for word in part)])


def _make_error(message: str, hint: str) -> UsageError:
    return UsageError(message, hint=hint, kind="usage")
