"""`hsm hosts`: commands for the machines of the inventory."""

from __future__ import annotations

from hsm.cli.lazy import CommandPlace, make_group

app = make_group(
    "Machines: which there are, who answers, by which address; run commands and share files there.",
    {
        "list": CommandPlace("hsm.cli.hosts.inventory", "show_hosts"),
        "check": CommandPlace("hsm.cli.hosts.inventory", "show_host_checks"),
        "urls": CommandPlace("hsm.cli.hosts.inventory", "show_urls"),
        "run": CommandPlace("hsm.cli.hosts.run", "run_on_hosts", context={"allow_interspersed_args": False}),
        "serve": CommandPlace("hsm.cli.hosts.serve", "serve_files"),
        "fetch": CommandPlace("hsm.cli.hosts.serve", "fetch_file"),
        "import": CommandPlace("hsm.cli.hosts.inventory", "import_hosts"),
        "scores": CommandPlace("hsm.cli.hosts.app", "scores"),
    },
)

scores = make_group(
    "Scores in step: pull the coordinator's file, push new rows, see who has drifted.",
    {
        "pull": CommandPlace("hsm.cli.hosts.scores", "pull_scores"),
        "push": CommandPlace("hsm.cli.hosts.scores", "push_scores"),
        "status": CommandPlace("hsm.cli.hosts.scores", "show_score_status"),
        "merge": CommandPlace("hsm.cli.hosts.scores", "merge_scores"),
    },
)
