"""`hsm hosts`: the machines of the inventory, and what can be done with them."""

from __future__ import annotations

from hsm.cli.lazy import Place, make_app

app = make_app(
    "Machines: which there are, who answers, by which address; run commands and share files there.",
    {
        "list": Place("hsm.cli.hosts.inventory", "list_hosts"),
        "check": Place("hsm.cli.hosts.inventory", "check"),
        "urls": Place("hsm.cli.hosts.inventory", "urls"),
        "run": Place("hsm.cli.hosts.run", "run", context={"allow_interspersed_args": False}),
        "serve": Place("hsm.cli.hosts.serve", "serve"),
        "fetch": Place("hsm.cli.hosts.serve", "fetch"),
        "import": Place("hsm.cli.hosts.inventory", "import_hosts"),
        "scores": Place("hsm.cli.hosts.app", "scores"),
    },
)

scores = make_app(
    "Scores in step: pull the coordinator's file, push new rows, see who has drifted.",
    {name: Place("hsm.cli.hosts.scores", name) for name in ("pull", "push", "status", "merge")},
)
