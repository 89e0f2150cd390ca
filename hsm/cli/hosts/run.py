"""`hsm hosts run`: one command on many machines."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from hsm.cli.hosts.options import GpuOption, HostsFileOption, Role, complete_host, load_nodes
from hsm.cli.json_document import print_document
from hsm.cli.sync.options.declarations import Json
from hsm.errors import UsageError

_MAX_OUTPUT_LINES = 10_000


def run_on_hosts(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="What to run there, after `--`.")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            "-H",
            metavar="NAME",
            help="A machine, by name or alias; may be given several times.",
            autocompletion=complete_host,
            show_default="all active ones",
        ),
    ] = None,
    role: Role = None,
    gpu: GpuOption = None,
    hosts_file: HostsFileOption = None,
    parallel: Annotated[
        int, typer.Option("--parallel", metavar="N", min=1, max=256, help="How many machines at a time.")
    ] = 16,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="End it after this long.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a command on machines, and show its output line by line behind each machine's name.

    One word is a line for the shell there; several are the command and its arguments as they are:

        hsm hosts run --role worker -- nvidia-smi -L

        hsm hosts run -- 'cd ~/project && git status'

    The shared logins are used. Exit codes: 0 it ended with 0 everywhere, 1 somewhere not, 2 usage or hosts file,
    10 no machine could be reached, 130 interrupted.
    """
    from hsm.hosts.reach.login import find_logins
    from hsm.hosts.reach.run import get_run_exit_code, make_program, run_everywhere

    nodes = load_nodes(hosts_file, host or (), role=role, gpu=gpu, is_active=True)
    logins = find_logins(nodes)
    if not logins:
        raise UsageError(
            "No machine to run it on.", hint="`hsm hosts list --active` shows which there are.", kind="no_hosts"
        )
    began = time.monotonic()
    from hsm.cli.render.hosts import make_line_writer, show_runs

    output: dict[str, list[str]] = {name: [] for name in logins}
    runs = run_everywhere(
        logins,
        make_program(command),
        on_line=(lambda name, line: _keep(output[name], line)) if as_json else make_line_writer(list(logins)),
        n_parallel=parallel,
        timeout_seconds=timeout,
    )
    code = get_run_exit_code(runs)
    if as_json:
        from dataclasses import asdict

        hosts = [{**asdict(run), "output": output[run.name]} for run in runs]
        print_document("hosts run", {"hosts": hosts}, code=code)
    else:
        show_runs(runs, seconds=time.monotonic() - began)
    raise typer.Exit(int(code))


def _keep(lines: list[str], line: str) -> None:
    """Keep the last lines of a machine's output."""
    lines.append(line)
    del lines[:-_MAX_OUTPUT_LINES]
