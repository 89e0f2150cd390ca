"""Noise: text that start-up files or a server print in the place of an answer. Pure."""

from __future__ import annotations

import re

from hsm.errors import NoShellError

_SHOWN_CHARACTERS = 300
_DETAIL_CHARACTERS = 1000
_DEBUG_LINE = re.compile(rb"^debug\d: .*\n?", re.MULTILINE)


def show_bytes(content: bytes, *, limit: int) -> str:
    r"""Show the first bytes of something unexpected, quoted, each that is no visible character as an escape."""
    text = content[:limit].decode("utf-8", "backslashreplace")
    return f'"{_escape(text)}"' + ("..." if len(content) > limit else "")


def quote_words(content: bytes) -> str:
    """Quote what a server or a program said, as one line; of much the end, where the reason stands."""
    lines = (line.strip() for line in content.decode("utf-8", "backslashreplace").splitlines())
    text = " ".join(line for line in lines if line)
    start = max(0, len(text) - _SHOWN_CHARACTERS)
    return ("..." if start else "") + f'"{_escape(text[start:])}"'


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
    # A session that is a login of its own has its log there, which holds the values of SetEnv.
    complaint = _DEBUG_LINE.sub(b"", complaint)
    if not said:
        answers = [quote_words(part) for part in (noise, complaint) if part.strip()]
        said = f"it answered {' and '.join(answers)}" if answers else "it ended without a word"
    return NoShellError(
        f"The shell of target {name} does not run commands: {said}.",
        hint=f"Try `{command_line} true`. A start-up file or a forced command there may end the shell, the password "
        "may have expired, or the account may allow SFTP only or no login at all.",
        detail=(noise + complaint).decode("utf-8", "replace")[-_DETAIL_CHARACTERS:].strip(),
    )


def _escape(text: str) -> str:
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
