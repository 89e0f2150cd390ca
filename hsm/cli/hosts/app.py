"""`hsm hosts`: commands for the machines of the inventory."""

from __future__ import annotations

from hsm.cli.lazy import CommandPlace, make_group

COMMANDS = {
    "list": CommandPlace(
        "hsm.cli.hosts.inventory",
        "show_hosts",
        examples=(("hsm hosts list", "the machines of the hosts file; nothing is asked"),),
    ),
    "check": CommandPlace(
        "hsm.cli.hosts.inventory",
        "show_host_checks",
        examples=(("hsm hosts check", "which machines answer, by ssh and http"),),
    ),
    "urls": CommandPlace(
        "hsm.cli.hosts.inventory",
        "show_urls",
        examples=(("hsm hosts urls", "addresses of the data servers that answer"),),
    ),
    "run": CommandPlace(
        "hsm.cli.hosts.run",
        "run_on_hosts",
        context={"allow_interspersed_args": False},
        examples=(
            ("hsm hosts run -- nvidia-smi", "on every active machine"),
            ("hsm hosts run -H gpu-1 -- df -h /", "on one machine"),
        ),
    ),
    "serve": CommandPlace(
        "hsm.cli.hosts.serve",
        "serve_files",
        examples=(("hsm hosts serve --root models", "offer the files of a folder"),),
    ),
    "fetch": CommandPlace(
        "hsm.cli.hosts.serve",
        "fetch_file",
        examples=(("hsm hosts fetch http://10.0.0.5:8766/models/a.pt", "get a file, from the fastest of its sources"),),
    ),
    "import": CommandPlace(
        "hsm.cli.hosts.inventory",
        "import_hosts",
        examples=(("hsm hosts import --write", "write the machines of ~/.ssh/config to .hsm/hosts.yaml"),),
    ),
    "scores": CommandPlace("hsm.cli.hosts.app", "scores"),
}
"""In the order of the help."""

app = make_group(
    "List your machines, see which of them answer, run commands and share files there.",
    COMMANDS,
    epilog="The guide: `hsm docs hosts`.",
)

scores = make_group(
    "Scores in step: pull the coordinator's file, push new rows, see who has drifted.",
    {
        "pull": CommandPlace(
            "hsm.cli.hosts.scores",
            "pull_scores",
            examples=(("hsm hosts scores pull --db scores.db", "get the coordinator's file"),),
        ),
        "push": CommandPlace(
            "hsm.cli.hosts.scores",
            "push_scores",
            examples=(("hsm hosts scores push --db scores.db", "send the rows that are new here"),),
        ),
        "status": CommandPlace(
            "hsm.cli.hosts.scores",
            "show_score_status",
            examples=(("hsm hosts scores status --db scores.db", "see who has drifted"),),
        ),
        "merge": CommandPlace(
            "hsm.cli.hosts.scores",
            "merge_scores",
            examples=(("hsm hosts scores merge rows.db --db scores.db", "put the rows of another file in"),),
        ),
    },
)
