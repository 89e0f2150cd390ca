"""`hsm hosts list`, `check`, `urls` and `import`: the inventory of machines, and who answers."""

from __future__ import annotations

import json
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hsm.cli.hosts.options import GpuOption, HostsFileOption, Names, Role, Timeout, load_nodes
from hsm.cli.json_document import print_document
from hsm.cli.sync.options.declarations import Json
from hsm.errors import ExitCode, TargetError, UsageError


class UrlKind(str, Enum):
    """Kind of files to be fetched."""

    DATA = "data"
    MODELS = "models"
    SCORES = "scores"


def show_hosts(
    hosts_file: HostsFileOption = None,
    role: Role = None,
    gpu: GpuOption = None,
    active: Annotated[bool, typer.Option("--active", help="Only machines that are active.")] = False,
    as_json: Json = False,
) -> None:
    """Show the machines of the inventory. Nobody is asked anything."""
    from dataclasses import asdict

    from hsm.hosts.inventory.load import find_hosts_file

    nodes = load_nodes(hosts_file, (), role=role, gpu=gpu, is_active=active)
    path = str(find_hosts_file(hosts_file) or "")
    if as_json:
        hosts = [
            {
                **asdict(node),
                "best_ip": node.best_ip,
                "data_server_base_url": node.data_server_base_url,
                "is_active": node.is_active,
            }
            for node in nodes
        ]
        print_document("hosts list", {"hosts_file": path, "hosts": hosts})
        return
    from hsm.cli.render.hosts import show_inventory

    show_inventory(nodes, path)


def show_host_checks(
    names: Names = None,
    hosts_file: HostsFileOption = None,
    role: Role = None,
    gpu: GpuOption = None,
    timeout: Timeout = 10.0,
    no_ssh: Annotated[bool, typer.Option("--no-ssh", help="Log in nowhere.")] = False,
    no_http: Annotated[bool, typer.Option("--no-http", help="Do not ask the data servers.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=1, help="With --watch: pause between two looks.")
    ] = 30.0,
    as_json: Json = False,
) -> None:
    """Look which machines answer: connection, SSH login, data server, round trip, load, free GPUs.

    All are asked at the same time, and one that is dead delays nobody: after --timeout seconds all is told that is
    known. Logins that are opened stay open for ten minutes, shared with the other commands. Nothing is asked in the
    terminal, so a login that needs a password is told as refused.

    Exit codes: 0 every active machine answers, 1 one does not, 2 usage or hosts file.
    """
    from hsm.hosts.reach.check import check_hosts, get_check_exit_code, make_check_document

    nodes = load_nodes(hosts_file, names or (), role=role, gpu=gpu)
    while True:
        began = time.monotonic()
        checks = check_hosts(nodes, timeout_seconds=timeout, with_ssh=not no_ssh, with_http=not no_http)
        seconds = time.monotonic() - began
        if as_json:
            typer.echo(json.dumps(make_check_document(checks, seconds=seconds), indent=None if watch else 2))
        else:
            from hsm.cli.render.hosts import show_checks

            show_checks(checks)
        if not watch:
            raise typer.Exit(int(get_check_exit_code(checks)))
        time.sleep(interval)


def show_urls(
    kind: Annotated[UrlKind, typer.Argument(help="What is to be fetched.")],
    hosts_file: HostsFileOption = None,
    all_nodes: Annotated[bool, typer.Option("--all", help="Ask nobody; list every active machine.")] = False,
    include_self: Annotated[bool, typer.Option("--include-self", help="Also this machine.")] = False,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Print where data, models or scores can be fetched from, a URL a line.

    Data: the data servers (port 8766 unless the inventory says otherwise); models: /models on port 8765; scores: /db on
    the inventory's `sync_port`.

    Exit codes: 0 there is one, 1 there is none, 2 usage or hosts file.
    """
    load_nodes(hosts_file, ())
    from hsm.hosts.reach.urls import list_urls

    found = list_urls(
        kind.value,
        exclude_self=not include_self,
        reachable_only=not all_nodes,
        timeout=timeout,
        hosts_file=hosts_file,
    )
    code = ExitCode.DONE if found else ExitCode.PARTIAL
    if as_json:
        print_document("hosts urls", {"kind": kind.value, "urls": found}, code=code)
    else:
        from hsm.cli.render import show_lines

        show_lines(found)
    raise typer.Exit(int(code))


def import_hosts(
    ssh_config: Annotated[
        Path, typer.Option("--ssh-config", metavar="FILE", help="The ssh configuration to read.")
    ] = Path("~/.ssh/config"),
    write: Annotated[
        bool, typer.Option("--write", help="Write .hsm/hosts.yaml, unless it is there, instead of printing.")
    ] = False,
) -> None:
    """Make a hosts file of what ~/.ssh/config and the tailnet know.

    The `Host` entries without patterns, with the settings that ssh has for them, and the machines of
    `tailscale status`, where it is installed.
    """
    from hsm.cli.render import show_lines
    from hsm.hosts.inventory.importing import make_hosts_text, read_ssh_hosts, read_tailscale_hosts
    from hsm.process.runner import Runner
    from hsm.project_folder import ProjectFolder

    runner = Runner()
    text = make_hosts_text(read_ssh_hosts(runner, ssh_config.expanduser()), read_tailscale_hosts(runner))
    if not write:
        show_lines(text.splitlines())
        return
    path = ProjectFolder(Path.cwd()).hosts
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists already.", hint="Print with `hsm hosts import`, and copy what you need.", kind="hosts_exist"
        ) from error
    except OSError as error:
        raise TargetError(
            f"{path} cannot be written: {error.strerror}.", hint="Check its permissions.", kind="no_permission"
        ) from error
    show_lines([f"Written: {path}", "Next: look at it with `hsm hosts list`, then `hsm hosts check`."])
