"""Printing of JSON documents whose content a command makes itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

import typer

from hsm.errors import ExitCode


def print_document(command: str, content: Mapping[str, object], *, code: ExitCode = ExitCode.DONE) -> None:
    """Print a document on standard output.

    Args:
        command: As typed, without `hsm` and arguments.
        content: Below the head that all documents have.
        code: With which the command ends.
    """
    head = {"schema": 1, "command": command, "exit_code": int(code), "error": None}
    typer.echo(json.dumps({**head, **content}, indent=2))
