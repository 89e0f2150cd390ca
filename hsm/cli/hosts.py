"""`hsm hosts`: the machines of the inventory, and what can be done with them."""

from __future__ import annotations

from hsm.cli.lazy import Place, make_app

app = make_app(
    "Machines: which there are, who answers, by which address; run commands and share files there.",
    {
        "list": Place("hsm.cli.hosts_inventory", "list_hosts"),
        "check": Place("hsm.cli.hosts_inventory", "check"),
        "urls": Place("hsm.cli.hosts_inventory", "urls"),
        "run": Place("hsm.cli.hosts_run", "run", context={"allow_interspersed_args": False}),
        "serve": Place("hsm.cli.hosts_serve", "serve"),
        "fetch": Place("hsm.cli.hosts_serve", "fetch"),
        "import": Place("hsm.cli.hosts_inventory", "import_hosts"),
        "scores": Place("hsm.cli.hosts", "scores"),
    },
)

scores = make_app(
    "Scores in step: pull the coordinator's file, push new rows, see who has drifted.",
    {name: Place("hsm.cli.hosts_scores", name) for name in ("pull", "push", "status", "merge")},
)
