"""`hsm sync`: the commands that bring sweeps home."""

from __future__ import annotations

from hsm.cli.lazy import Place, make_app

app = make_app(
    "Bring the results of sweeps home: configure, preview, send, log in.",
    {
        "init": Place("hsm.cli.init", "init"),
        "list": Place("hsm.cli.targets", "list_targets"),
        "to": Place("hsm.cli.push", "send_to"),
        "run": Place("hsm.cli.push", "send_to", hidden=True),
        "from": Place("hsm.cli.pull", "receive_from"),
        "status": Place("hsm.cli.status", "status"),
        "verify": Place("hsm.cli.verify", "verify_sweeps"),
        "clean": Place("hsm.cli.clean", "clean"),
        "report": Place("hsm.cli.report", "report"),
        "doctor": Place("hsm.cli.doctor", "doctor"),
        "login": Place("hsm.cli.login", "login"),
        "logout": Place("hsm.cli.login", "logout"),
    },
)
