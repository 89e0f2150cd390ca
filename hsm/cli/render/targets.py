"""The configured targets as a table on stdout (`hsm sync list`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hsm.cli.render.printer import Column, Part, Printer
from hsm.cli.render.words import format_count

if TYPE_CHECKING:
    from hsm.config.load import LoadedConfig
    from hsm.config.schema import Section, TargetSettings

_COLUMNS = (Column("target"), Column("setting"), Column("value"))


def show_targets(loaded: LoadedConfig) -> None:
    """Print where the configuration lies and what it says of each target, without what are defaults anyway."""
    printer = Printer()
    config = loaded.config
    printer.print_name(("Configuration: ", "bold"), str(loaded.path))
    source = _describe_changes(config.source)
    if source:
        printer.print_name(("Source: ", "bold"), "; ".join(source))
    printer.print()
    rows: list[tuple[Part, Part, Part]] = []
    for name, settings in config.sync_targets.items():
        title = f"{name} (default)" if name in config.default_target else name
        for number, (setting, value) in enumerate(_iter_settings(settings)):
            rows.append(((title if not number else "", "bold"), setting, value))
    printer.print_table(_COLUMNS, rows)
    printer.print()
    n_targets = format_count(len(config.sync_targets), "target")
    default = ", ".join(config.default_target)
    more = f"default: {default}" if default else "no default, so a call names one with --target"
    printer.print(f"{n_targets}; {more}; what is not shown has its default", hang=2)


def _iter_settings(settings: TargetSettings) -> Iterator[tuple[str, str]]:
    yield "address", _describe_address(settings)
    yield "sweeps", settings.paths.sweeps
    yield "wandb", settings.paths.wandb
    if settings.paths.project_root is not None:
        yield "project_root", settings.paths.project_root
    if settings.secrets != "warn":
        yield "secrets", settings.secrets
    if settings.rsync_path is not None:
        yield "rsync_path", settings.rsync_path
    yield from (("options", change) for change in _describe_changes(settings.options))
    if settings.ssh.config is not None:
        yield "ssh", f"config: {settings.ssh.config}"
    if settings.ssh.identity_file is not None:
        yield "ssh", f"identity_file: {settings.ssh.identity_file}"
    yield from (("ssh", f"{name} {value}") for name, value in settings.ssh.options.items())


def _describe_address(settings: TargetSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host and settings.port else settings.host
    user = f"{settings.user}@" if settings.user else ""
    port = f":{settings.port}" if settings.port else ""
    absent = [name for name in ("user", "port") if getattr(settings, name) is None]
    return f"{user}{host}{port}" + (f" ({' and '.join(absent)}: ssh decides)" if absent else "")


def _describe_changes(section: Section) -> list[str]:
    """The settings of a section that are not at their defaults, as the file would have them."""
    return [
        f"{name}: {_describe_value(getattr(section, name))}"
        for name, field in type(section).model_fields.items()
        if getattr(section, name) != field.get_default(call_default_factory=True)
    ]


def _describe_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
