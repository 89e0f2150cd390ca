"""Groups of commands that are imported and built when they are asked for.

A group is a table of places, after "Lazily Loading Subcommands" in click's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from hsm.errors import UsageError


class UnknownCommandError(UsageError):
    """A group has no such command.

    Attributes:
        group: The names of the group, below the program's.
        words: What was typed behind it, the command first.
        names: The group's commands.
    """

    kind = "usage"

    def __init__(self, group: Sequence[str], words: Sequence[str], names: Sequence[str]) -> None:
        super().__init__(f"There is no command `{' '.join(['hsm', *group, words[0]])}`.", hint="See `hsm --help`.")
        self.group, self.words, self.names = tuple(group), tuple(words), tuple(names)


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """Place where a command is defined.

    Attributes:
        module: Its name.
        name: In the module: a function, or the Typer app of a group.
        hidden: The group's help leaves it out, as other names of a command.
        context: What Typer's `context_settings` take.
        examples: Command lines, each with what it does, for the help.
    """

    module: str
    name: str
    hidden: bool = False
    context: Mapping[str, object] = field(default_factory=dict)
    examples: tuple[tuple[str, str], ...] = ()


class LazyCommand(TyperCommand):
    """Command whose help has panels and examples."""

    examples: tuple[tuple[str, str], ...] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - of the click that Typer brings along
        """Print the help."""
        from hsm.cli.help import format_examples, tidy_parameters
        from hsm.cli.render.help import calm_styles

        calm_styles()
        self.params = tidy_parameters(self.params)
        tidy_parameters([self.get_help_option(ctx)])
        super().format_help(ctx, formatter)
        formatter.write(format_examples(self.examples))


class LazyGroup(TyperGroup):
    """Group that knows its commands by their places."""

    places: ClassVar[Mapping[str, CommandPlace]] = {}
    """By what a user types, in the order of the help."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - those of Typer
        super().__init__(**settings)
        # Typer would build every command before it knows which one is meant: with 25 as long as importing Typer.
        # Typer reads and sets commands as a mapping; help asks for all of them, a call for one.
        self.commands = _Commands(self.places)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - of the click that Typer brings along
        """Print the help."""
        from hsm.cli.help import tidy_parameters
        from hsm.cli.render.help import calm_styles

        calm_styles()
        tidy_parameters([*self.params, self.get_help_option(ctx)], has_panels=False)
        super().format_help(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as above
        """Find the command that is meant.

        Raises:
            UnknownCommandError: There is none.
        """
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise UnknownCommandError(list_names(ctx), args, tuple(self.commands))
        return super().resolve_command(ctx, args)


def list_names(ctx: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
    """List the names by which a command was called, without that of the program, which may be `python -m hsm`."""
    return (*list_names(ctx.parent), ctx.info_name) if ctx.parent is not None else ()


def make_group(about: str, places: Mapping[str, CommandPlace], *, epilog: str = "") -> typer.Typer:
    """Make the app of a group below the root."""
    return typer.Typer(
        cls=type("Group", (LazyGroup,), {"places": places}),
        help=about,
        epilog=epilog,
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

    def __contains__(self, name: object) -> bool:  # that of `Mapping` would build it
        return name in self._places or name in self._built

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
    app.command(name=name, cls=LazyCommand, hidden=place.hidden, context_settings=dict(place.context))(found)
    command = typer.main.get_command(app)
    command.examples = place.examples  # type: ignore[attr-defined]
    return command
