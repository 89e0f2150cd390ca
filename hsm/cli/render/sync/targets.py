"""Tables of `hsm sync list`: the configured targets and their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hsm.cli.render.printer import Part, Printer, TextColumn
from hsm.cli.render.words import format_count, name_sweep
from hsm.config.settings import iter_changed

if TYPE_CHECKING:
    from hsm.config.layers import PatternLayer
    from hsm.config.loaded import LoadedConfig
    from hsm.config.resolve import Resolved
    from hsm.config.settings import AfterSyncStep, SourceSettings, SyncOptions, TargetSettings

_COLUMNS = (TextColumn("target"), TextColumn("setting"), TextColumn("value"))
_PATTERN_COLUMNS = (TextColumn("sweeps"), TextColumn("target"), TextColumn("setting"), TextColumn("value"))
_RESOLVED_COLUMNS = (TextColumn("key"), TextColumn("from"), TextColumn("value"))


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
    if loaded.layers.patterns:
        printer.print()
        printer.print_table(_PATTERN_COLUMNS, list(_iter_changes(loaded.layers.patterns)))
    printer.print()
    n_targets = format_count(len(config.sync_targets), "target")
    default = ", ".join(config.default_target)
    more = f"default: {default}" if default else "no default, so a call names one with --target"
    printer.print(f"{n_targets}; {more}; what is not shown has its default", hang=2)


def show_resolved_targets(loaded: LoadedConfig, sweep: str, resolved: Sequence[Resolved]) -> None:
    """Print every value that targets have for a sweep, and where it comes from."""
    from hsm.config.resolve import iter_shown

    printer = Printer()
    printer.print_name(("Configuration: ", "bold"), str(loaded.path))
    printer.print_name(("Sweep: ", "bold"), name_sweep(sweep))
    for target in resolved:
        printer.print()
        printer.print_name((target.target, "bold"))
        rows = [
            (shown.key, shown.origin.place or shown.origin.kind.value, _describe_value(shown.value))
            for shown in iter_shown(target)
        ]
        printer.print_table(_RESOLVED_COLUMNS, rows, indent=2)


def _iter_settings(settings: TargetSettings) -> Iterator[tuple[str, str]]:
    from hsm.config.resolve import is_secret

    if settings.node is not None:
        yield "node", settings.node
    yield "address", _describe_address(settings)
    yield "sweeps", settings.paths.sweeps
    yield "wandb", settings.paths.wandb
    if settings.paths.project_root is not None:
        yield "project_root", settings.paths.project_root
    if settings.engine != "auto":
        yield "engine", settings.engine
    if settings.secrets != "warn":
        yield "secrets", settings.secrets
    if settings.rsync_path is not None:
        yield "rsync_path", settings.rsync_path
    yield from (("options", change) for change in _describe_changes(settings.options))
    yield from (("after_sync", "; ".join(_describe_changes(step))) for step in settings.after_sync)
    if settings.ssh.client != "auto":
        yield "ssh", f"client: {settings.ssh.client}"
    if settings.ssh.config is not None:
        yield "ssh", f"config: {settings.ssh.config}"
    if settings.ssh.identity_file is not None:
        yield "ssh", f"identity_file: {settings.ssh.identity_file}"
    for name, value in settings.ssh.options.items():
        yield "ssh", f"{name} {'(not shown)' if is_secret(('ssh', 'options', name)) else value}"


def _iter_changes(patterns: Sequence[PatternLayer]) -> Iterator[tuple[Part, Part, Part, Part]]:
    for pattern in patterns:
        for target, layer in (("all", pattern.common), *pattern.targets.items()):
            for key, setting in layer.items():
                value = tuple(setting.value) if isinstance(setting.value, list) else setting.value
                yield pattern.glob, target, ".".join(key), _describe_value(value)


def _describe_address(settings: TargetSettings) -> str:
    if settings.is_folder:
        return "a folder of this machine"
    host = f"[{settings.host}]" if ":" in settings.host and settings.port else settings.host
    user = f"{settings.user}@" if settings.user else ""
    port = f":{settings.port}" if settings.port else ""
    absent = [name for name in ("user", "port") if getattr(settings, name) is None]
    return f"{user}{host}{port}" + (f" ({' and '.join(absent)}: ssh decides)" if absent else "")


def _describe_changes(section: SourceSettings | SyncOptions | AfterSyncStep) -> list[str]:
    """List the settings of a section that are not at their defaults, as the file would have them."""
    return [f"{name}: {_describe_value(value)}" for name, value in iter_changed(section)]


def _describe_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_describe_value(item)}' for name, item in value.items())}}}"
    if isinstance(value, tuple):
        return ", ".join(map(_describe_value, value)) or "[]"
    return str(value) if value != "" else '""'
