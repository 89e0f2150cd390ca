"""`hsm sync`: commands that bring sweeps home."""

from __future__ import annotations

from dataclasses import replace

from hsm.cli.lazy import CommandPlace, make_group

_TO = CommandPlace(
    "hsm.cli.sync.push",
    "send_to",
    examples=(
        ("hsm sync to latest --dry-run", "show what would be sent; nothing is touched"),
        ("hsm sync to latest", "send the newest sweep to the default target"),
        ("hsm sync to sweep_20251020_212836 -t desktop -t backup", "one sweep, to two targets"),
        ("hsm sync to latest --continuous", "keep sending until every run has finished"),
    ),
)
_FROM = CommandPlace(
    "hsm.cli.sync.pull",
    "receive_from",
    examples=(
        ("hsm sync list --sweeps -t hpc", "show which sweeps the target hpc has"),
        ("hsm sync from latest --dry-run", "show what would come; nothing is touched"),
        ("hsm sync from latest", "get the newest sweep from the default target"),
        ("hsm sync from 'exp*' -t hpc", "all sweeps whose name begins with exp"),
    ),
)
_LIST = CommandPlace(
    "hsm.cli.sync.targets",
    "list_targets",
    examples=(
        ("hsm sync list", "the configured targets"),
        ("hsm sync list --sweeps", "the sweeps of this project"),
        ("hsm sync list --sweeps -t hpc", "the sweeps at the target hpc"),
        ("hsm sync list --resolved latest", "every setting for the newest sweep, and where it comes from"),
    ),
)

COMMANDS = {
    "init": CommandPlace(
        "hsm.cli.sync.init",
        "write_config",
        examples=(
            ("hsm sync init", "a few questions, then a check"),
            ("hsm sync init --pull me@hpc:/path/to/project", "this machine gets results from a cluster"),
            ("hsm sync init --push me@desktop:code/project", "the cluster sends results to a desktop"),
        ),
    ),
    "list": _LIST,
    "ls": replace(_LIST, hidden=True),
    "to": _TO,
    "push": replace(_TO, hidden=True),
    "run": replace(_TO, hidden=True),
    "from": _FROM,
    "pull": replace(_FROM, hidden=True),
    "status": CommandPlace(
        "hsm.cli.sync.status",
        "show_sweep_status",
        examples=(
            ("hsm sync status", "all sweeps, as this machine's records have them"),
            ("hsm sync status latest --check", "ask the targets too"),
            ("hsm sync status latest -q && echo complete", "for a script"),
        ),
    ),
    "verify": CommandPlace(
        "hsm.cli.sync.verify",
        "verify_sweeps",
        examples=(("hsm sync verify", "compare the newest sweep with the default target, by checksum"),),
    ),
    "clean": CommandPlace(
        "hsm.cli.sync.clean",
        "clean_sweep",
        examples=(
            ("hsm sync clean latest --dry-run", "show what could be removed here, and what stays"),
            ("hsm sync clean latest --copies 2 --older-than 30d", "only what two targets have, and is old"),
            ("hsm sync clean loose --older-than 30d", "runs that are in no sweep"),
        ),
    ),
    "report": CommandPlace(
        "hsm.cli.sync.report",
        "report_sweep",
        examples=(
            ("hsm sync report", "the runs of the newest sweep, in a table"),
            ("hsm sync report latest --sort val/loss --where 'lr<0.01'", "some of them, the best first"),
            ("hsm sync report latest --html report.html", "one page with plots"),
        ),
    ),
    "doctor": CommandPlace(
        "hsm.cli.sync.doctor",
        "run_doctor",
        examples=(
            ("hsm sync doctor", "check all targets"),
            ("hsm sync doctor desktop -v", "one target, with the raw messages of what failed"),
        ),
    ),
    "login": CommandPlace(
        "hsm.cli.sync.login", "log_in", examples=(("hsm sync login hpc", "log in once, for the next ten minutes"),)
    ),
    "logout": CommandPlace(
        "hsm.cli.sync.login", "log_out", examples=(("hsm sync logout", "close the logins to all targets"),)
    ),
}
"""In the order of the help; what is hidden is another name of what stands before it."""

app = make_group(
    "Copy sweep results from a cluster to your own machines, and look at them there.",
    COMMANDS,
    epilog="`push`, `pull` and `ls` are other names of `to`, `from` and `list`. The guide: `hsm docs sync`.",
)
