"""Output for people, in a terminal or a pipe: reports, tables, progress, errors.

The only package that imports rich. What is exported here is loaded when it is first used, because an error
message needs a tenth of what a progress display does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsm.cli.render.printer import show_error, show_lines, show_note
    from hsm.cli.render.sync.progress.reporter import make_reporter
    from hsm.cli.render.sync.report import show_report
    from hsm.cli.render.sync.targets import show_targets
    from hsm.cli.render.words import escape_text

_HOMES = {
    "escape_text": "words",
    "make_reporter": "sync.progress.reporter",
    "show_error": "printer",
    "show_lines": "printer",
    "show_note": "printer",
    "show_report": "sync.report",
    "show_targets": "sync.targets",
}

__all__ = [
    "escape_text",
    "make_reporter",
    "show_error",
    "show_lines",
    "show_note",
    "show_report",
    "show_targets",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
