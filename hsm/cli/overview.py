"""`hsm` alone: where one is, and what to type next."""

from __future__ import annotations

from pathlib import Path


def show_overview() -> None:
    """Show the project of the working folder, from the records on this machine; outside a project, how to begin."""
    from hsm._version import __version__
    from hsm.cli.render import show_lines
    from hsm.cli.sync.options.project import find_received_project, load_current_config
    from hsm.errors import NoConfigError

    try:
        loaded = load_current_config()
    except NoConfigError:
        start = "This folder is in no project: `hsm sync init` makes one of it, `hsm docs quickstart` shows how."
        if find_received_project(Path.cwd()) is not None:
            start = "Sweeps were received here: `hsm sync status` shows them, `hsm sync report latest` their results."
        show_lines(
            [
                f"HSM {__version__} copies the results of hyper-parameter sweeps from a cluster to your own machines.",
                start,
                "`hsm --help` lists the commands, `hsm docs` the pages of the guide.",
            ]
        )
        return
    from hsm.cli.render.sync.glance import show_glance
    from hsm.sync.status.glance import read_glance

    show_glance(loaded.project, read_glance(loaded))
