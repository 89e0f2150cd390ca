"""`hsm sweep`: commands that run sweeps."""

from __future__ import annotations

from hsm.cli.lazy import CommandPlace, make_group

COMMANDS = {
    "init": CommandPlace(
        "hsm.cli.sweeps.init",
        "write_sweep_files",
        examples=(("hsm sweep init", "write .hsm/config.yaml and sweeps/sweep.yaml, with comments"),),
    ),
    "run": CommandPlace(
        "hsm.cli.sweeps.run",
        "run_sweep",
        examples=(
            ("hsm sweep run --dry-run", "show the tasks and the command of task 1; nothing is written"),
            ("hsm sweep run --config sweeps/lr.yaml --count-only", "how many tasks there are"),
            ("hsm sweep run --prepare --name lr", "write the sweep's folder, to be submitted later"),
        ),
    ),
    "list": CommandPlace(
        "hsm.cli.sweeps.list",
        "list_prepared_sweeps",
        examples=(("hsm sweep list", "the sweeps that were prepared in this project"),),
    ),
}
"""In the order of the help."""

app = make_group(
    "Run hyper-parameter sweeps: say what is varied, look at the tasks, prepare them.",
    COMMANDS,
    epilog="The guide: docs/SWEEP.md.",
)
