"""`hsm sync`: commands that bring sweeps home."""

from __future__ import annotations

from hsm.cli.lazy import CommandPlace, make_group

app = make_group(
    "Bring the results of sweeps home: configure, preview, send, log in.",
    {
        "init": CommandPlace("hsm.cli.sync.init", "write_config"),
        "list": CommandPlace("hsm.cli.sync.targets", "list_targets"),
        "to": CommandPlace("hsm.cli.sync.push", "send_to"),
        "run": CommandPlace("hsm.cli.sync.push", "send_to", hidden=True),
        "from": CommandPlace("hsm.cli.sync.pull", "receive_from"),
        "status": CommandPlace("hsm.cli.sync.status", "show_sweep_status"),
        "verify": CommandPlace("hsm.cli.sync.verify", "verify_sweeps"),
        "clean": CommandPlace("hsm.cli.sync.clean", "clean_sweep"),
        "report": CommandPlace("hsm.cli.sync.report", "report_sweep"),
        "doctor": CommandPlace("hsm.cli.sync.doctor", "run_doctor"),
        "login": CommandPlace("hsm.cli.sync.login", "log_in"),
        "logout": CommandPlace("hsm.cli.sync.login", "log_out"),
    },
)
