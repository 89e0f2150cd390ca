"""Options of `hsm sweep`, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from hsm.errors import UsageError
from hsm.prepared_sweep.resources import Resources
from hsm.sweeps.project.load import ProjectSettings

DEFAULT_DEFINITION = Path("sweeps", "sweep.yaml")
_ENDINGS = (".yaml", ".yml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The sweep's definition.",
        show_default=f"{DEFAULT_DEFINITION}, or the only one in sweeps/",
    ),
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Let programs count that .hsm/config.yaml names, though others can write it.")
]


def find_definition(named: Path | None, settings: ProjectSettings) -> tuple[Path, str]:
    """Return the definition that is meant, and its name in messages.

    Raises:
        UsageError: None is named, and there is not exactly one (kind `no_definition`).
    """
    if named is not None:
        return named, str(named)
    folder = settings.project / DEFAULT_DEFINITION.parent
    found = [path for path in sorted(folder.glob("*")) if path.suffix in _ENDINGS and path.is_file()]
    default = settings.project / DEFAULT_DEFINITION
    chosen = default if default in found else found[0] if len(found) == 1 else None
    if chosen is not None:
        return chosen, str(chosen.relative_to(settings.project))
    if found:
        names = ", ".join(str(path.relative_to(settings.project)) for path in found)
        raise UsageError(
            f"There are several definitions: {names}",
            hint=f"Name one: `--config {found[0].relative_to(settings.project)}`.",
            kind="no_definition",
        )
    raise UsageError(
        f"There is no definition of a sweep in {folder}",
        hint="`hsm sweep init` writes one to begin with, or name one with --config FILE.",
        kind="no_definition",
    )


def parse_resources(walltime: str | None, mem: str | None, sbatch: Sequence[str]) -> Mapping[str, object]:
    """Make resources of the options of a call.

    Args:
        walltime: Of `--walltime`.
        mem: Of `--mem`.
        sbatch: `KEY=VALUE` of each `--sbatch`.

    Raises:
        UsageError: One is wrong (kind `bad_resources`).
    """
    said: dict[str, object] = {key: value for key, value in (("walltime", walltime), ("mem", mem)) if value is not None}
    extra: dict[str, str] = {}
    for word in sbatch:
        key, separator, value = word.partition("=")
        if not separator:
            raise UsageError(
                f"--sbatch {word!r} is no KEY=VALUE.",
                hint="For example `--sbatch mail-type=END`.",
                kind="bad_resources",
            )
        extra[key.removeprefix("--")] = value
    if extra:
        said["extra"] = extra
    try:
        return Resources.model_validate(said).dump()
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
    names = {"extra": "--sbatch", "mem": "--mem", "walltime": "--walltime"}
    name = names.get(str(detail["loc"][0]) if detail["loc"] else "", "These options")
    raise UsageError(
        f"{name} {detail.get('ctx', {}).get('error') or detail['msg']}.",
        hint="A time is HH:MM:SS, an amount of memory is like 16G.",
        kind="bad_resources",
    )
