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
    "submit": CommandPlace(
        "hsm.cli.sweeps.submit",
        "submit_prepared",
        examples=(("hsm sweep submit latest", "submit what is prepared; a job whose answer was lost is looked for"),),
    ),
    "status": CommandPlace(
        "hsm.cli.sweeps.status",
        "show_tasks_status",
        examples=(("hsm sweep status latest --state failed", "the tasks that failed, and why"),),
    ),
    "errors": CommandPlace(
        "hsm.cli.sweeps.errors",
        "show_sweep_errors",
        examples=(("hsm sweep errors latest", "why tasks failed, those alike as one, with a log of each kind"),),
    ),
    "logs": CommandPlace(
        "hsm.cli.sweeps.logs",
        "show_task_log",
        examples=(("hsm sweep logs latest 3 -f", "what task 3 prints, until it ends"),),
    ),
    "resubmit": CommandPlace(
        "hsm.cli.sweeps.resubmit",
        "resubmit_sweep",
        examples=(("hsm sweep resubmit latest --walltime 08:00:00", "all that ended badly once more, with more time"),),
    ),
    "cancel": CommandPlace(
        "hsm.cli.sweeps.cancel",
        "cancel_sweep",
        examples=(("hsm sweep cancel latest --task 3,7-9", "end these tasks"),),
    ),
    "list": CommandPlace(
        "hsm.cli.sweeps.list",
        "list_prepared_sweeps",
        examples=(("hsm sweep list", "the sweeps that were prepared in this project"),),
    ),
}
"""In the order of the help."""

app = make_group(
    "Run hyper-parameter sweeps: say what is varied, look at the tasks, submit them, see how they are.",
    COMMANDS,
    epilog="The guide: `hsm docs sweep`.",
)
