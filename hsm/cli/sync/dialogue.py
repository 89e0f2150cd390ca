"""Questions of `hsm sync init` in a terminal: which machine, in which direction, which folder. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import typer

from hsm.config.rules.values import check_host
from hsm.config.template.address import ProjectAddress, check_far_path, parse_address
from hsm.errors import UsageError

_MOST_HOSTS = 20
_DIRECTIONS = {"1": "pull", "2": "push"}

Parsed = TypeVar("Parsed")


def ask_address(folder: Path) -> tuple[str, ProjectAddress]:
    """Ask for the direction and for the project on the other machine.

    Args:
        folder: The project here.

    Returns:
        `pull` or `push`, and the address.

    Raises:
        KeyboardInterrupt: Somebody pressed Ctrl-C, or there is no further input.
    """
    from hsm.cli.render.printer import Printer
    from hsm.hosts.inventory.importing import iter_ssh_aliases

    printer = Printer(is_error=True)
    printer.print(f"A configuration for {folder}. Ctrl-C ends this, and nothing is written.")
    printer.print()
    printer.print("Which machine can log in to the other one?")
    printer.print("1  This one, to the cluster: it gets the results (pull). So it is on most desktops and laptops.")
    printer.print("2  This one, to a desktop: it is the cluster, and sends the results (push).")
    direction = _ask("1 or 2", _parse_direction, default="1")
    there = "the cluster" if direction == "pull" else "the desktop"
    hosts = [name for name in dict.fromkeys(iter_ssh_aliases(Path("~/.ssh/config").expanduser())) if _is_host(name)]
    printer.print()
    printer.print(f"How is {there} called?{' Hosts of ~/.ssh/config:' * bool(hosts)}")
    for number, name in enumerate(hosts[:_MOST_HOSTS], 1):
        printer.print_name(f"{number:>2}  {name}")
    if len(hosts) > _MOST_HOSTS:
        printer.print(f"    ... and {len(hosts) - _MOST_HOSTS} more: type the name")
    words = "A number, or a host such as me@hpc.example.org" if hosts else "A host, such as me@hpc.example.org"
    address = _ask(words, lambda text: _parse_host(text, hosts[:_MOST_HOSTS]))
    if not address.path:
        printer.print()
        path = _ask(f"The project's folder on {address.host}", _parse_path, default=_guess_path(folder))
        address = replace(address, path=path)
    return direction, address


def _ask(question: str, parse: Callable[[str], Parsed], *, default: str | None = None) -> Parsed:
    """Ask until the answer is right."""
    from hsm.process.signals import hear_signals

    def read(text: str) -> Parsed:
        try:
            return parse(text.strip())
        except UsageError as error:
            raise typer.BadParameter(error.message) from error
        except ValueError as error:
            raise typer.BadParameter(f"It {error}.") from error

    try:
        with hear_signals():
            answer: Parsed = typer.prompt(question, default=default, value_proc=read, err=True)
            return answer
    # typer makes an Abort, which ends with 1, of a Ctrl-C at its prompt.
    except typer.Abort as error:
        raise KeyboardInterrupt from error


def _parse_direction(text: str) -> str:
    if text not in _DIRECTIONS:
        raise ValueError("must be 1 or 2")
    return _DIRECTIONS[text]


def _parse_host(text: str, hosts: Sequence[str]) -> ProjectAddress:
    if text.isascii() and text.isdigit() and len(text) < 4 and text not in hosts:
        if not 1 <= int(text) <= len(hosts):
            raise ValueError(f"must be a number from 1 to {len(hosts)}, or a name" if hosts else "must be a name")
        return ProjectAddress(hosts[int(text) - 1])
    return parse_address(text, needs_path=False)


def _parse_path(text: str) -> str:
    return check_far_path(text)


def _guess_path(folder: Path) -> str:
    """Guess the folder there: the same below the home folder, as people lay out their machines."""
    home = Path.home()
    place = folder.relative_to(home) if folder != home and folder.is_relative_to(home) else Path("code", folder.name)
    try:
        return check_far_path(f"~/{place}")
    except ValueError:
        return "~/project"


def _is_host(name: str) -> bool:
    try:
        check_host(name)
    except ValueError:
        return False
    return True
