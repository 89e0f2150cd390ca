"""`hsm sync`: the commands that bring sweeps home."""

from __future__ import annotations

from hsm.cli.lazy import Place, make_app

app = make_app(
    "Bring the results of sweeps home: configure, preview, send, log in.",
    {
        "init": Place("hsm.cli.sync.init", "init"),
        "list": Place("hsm.cli.sync.targets", "list_targets"),
        "to": Place("hsm.cli.sync.push", "send_to"),
        "run": Place("hsm.cli.sync.push", "send_to", hidden=True),
        "from": Place("hsm.cli.sync.pull", "receive_from"),
        "status": Place("hsm.cli.sync.status", "status"),
        "verify": Place("hsm.cli.sync.verify", "verify_sweeps"),
        "clean": Place("hsm.cli.sync.clean", "clean"),
        "report": Place("hsm.cli.sync.report", "report"),
        "doctor": Place("hsm.cli.sync.doctor", "doctor"),
        "login": Place("hsm.cli.sync.login", "login"),
        "logout": Place("hsm.cli.sync.login", "logout"),
    },
)
