"""Noise: text that start-up files or a server print in the place of an answer. Pure."""

from __future__ import annotations

from hsm.errors import NoShellError

_SHOWN_BYTES = 200
_DETAIL_CHARACTERS = 1000


def show_bytes(content: bytes, *, limit: int) -> str:
    r"""Show the first bytes of something unexpected, quoted, each that is no visible character as an escape."""
    text = content[:limit].decode("utf-8", "backslashreplace")
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return f'"{shown}"' + ("..." if len(content) > limit else "")


def make_no_shell_error(
    name: str, *, command_line: str, noise: bytes, complaint: bytes, said: str = ""
) -> NoShellError:
    """Make the error for a target whose shell does not run commands.

    Args:
        name: The target's name.
        command_line: The command a person types to try a login.
        noise: The standard output.
        complaint: The standard error.
        said: The behaviour of the server, in words; by default as `noise` and `complaint` show it.
    """
    answer = noise.strip() or complaint.strip()
    if not said:
        said = f"it answered {show_bytes(answer, limit=_SHOWN_BYTES)}" if answer else "it ended without a word"
    return NoShellError(
        f"The shell of target {name} does not run commands: {said}.",
        hint=f"Try `{command_line} true`. A start-up file there may end the shell, or the account may "
        "allow SFTP only or no login at all.",
        detail=(noise + complaint).decode("utf-8", "replace")[-_DETAIL_CHARACTERS:].strip(),
    )
