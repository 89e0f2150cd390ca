"""Looking on while tasks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hsm.sweeps.submitted.open_sweep import OpenSweep
    from hsm.sweeps.submitted.status import SubmittedStatus


def watch(opened: OpenSweep, *, pause_seconds: float, is_silent: bool) -> SubmittedStatus:
    """Look on until every task has ended; a line for each change.

    Ctrl-C ends the looking on, and nothing else: the tasks go on.

    Raises:
        KeyboardInterrupt: After a word on how to go on.
    """
    from hsm.cli.render import show_note
    from hsm.cli.render.submitted import describe_counts
    from hsm.sweeps.submitted.status import read_status

    shown = ""
    try:
        while True:
            status = read_status(opened)
            line = describe_counts(status)
            if line != shown and not is_silent:
                show_note(f"{opened.name}: {line}")
                shown = line
            if status.is_over:
                return status
            opened.runner.sleep(pause_seconds)
    except KeyboardInterrupt:
        show_note(
            f"The tasks go on. `hsm sweep status {opened.name}` shows them, `hsm sweep cancel {opened.name}` ends them."
        )
        raise
