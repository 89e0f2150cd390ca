"""Groups of commands that are imported and built when they are asked for.

A group is a table of places, after "Lazily Loading Subcommands" in click's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """Place where a command is defined.

    Attributes:
        module: Its name.
        name: In the module: a function, or the Typer app of a group.
        hidden: The group's help leaves it out.
        context: What Typer's `context_settings` take.
    """

    module: str
    name: str
    hidden: bool = False
    context: Mapping[str, object] = field(default_factory=dict)


class LazyGroup(TyperGroup):
    """Group that knows its commands by their places."""

    places: ClassVar[Mapping[str, CommandPlace]] = {}
    """By what a user types, in the order of the help."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - those of Typer
        super().__init__(**settings)
        # Typer would build every command before it knows which one is meant: with 25 as long as importing Typer.
        # Typer reads and sets commands as a mapping; help asks for all of them, a call for one.
        self.commands = _Commands(self.places)


def make_group(about: str, places: Mapping[str, CommandPlace]) -> typer.Typer:
    """Make the app of a group below the root."""
    return typer.Typer(
        cls=type("Group", (LazyGroup,), {"places": places}),
        help=about,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


class _Commands(MutableMapping[str, Any]):
    """Commands by name, built when they are looked up."""

    def __init__(self, places: Mapping[str, CommandPlace]) -> None:
        self._places = places
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a command of the click that Typer brings along
        if name not in self._built:
            self._built[name] = _build(name, self._places[name])
        return self._built[name]

    def __setitem__(self, name: str, command: Any) -> None:  # noqa: ANN401 - as above
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._places, **self._built})

    def __len__(self) -> int:
        return len({**self._places, **self._built})


def _build(name: str, place: CommandPlace) -> Any:  # noqa: ANN401 - as above
    found = getattr(import_module(place.module), place.name)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(name=name, hidden=place.hidden, context_settings=dict(place.context))(found)
    return typer.main.get_command(app)
