"""Reader of the configuration of sweeps: the project's, below it the user's, below it the site's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from platformdirs import user_config_path

from hsm.config.sections import Section, list_keys, validate
from hsm.config.yaml.core_schema import compose_core, make_core_builder
from hsm.config.yaml.document import Finding, is_null, make_dotted, show_value
from hsm.config.yaml.findings import FileForm
from hsm.errors import ConfigError, NoConfigError
from hsm.prepared_sweep.resources import Resources, merge_resources
from hsm.project_folder import ProjectFolder
from hsm.sweeps.project.schema import LEAST_ASK_SECONDS, DefaultsFile, SettingsFile
from hsm.sweeps.project.trust import drop_code
from hsm.user_files import FlawedFileError, read_config_file

SITE_DEFAULTS = Path("/etc/hsm/config.yaml")
_MAX_BYTES = 256 * 1024
_SETTINGS_FORM = FileForm(SettingsFile, "bad_config", "correct the file, then run `hsm sweep run --dry-run`")
_DEFAULTS_FORM = FileForm(DefaultsFile, "bad_config", "correct the file, then run `hsm sweep run --dry-run`")

_FileT = TypeVar("_FileT", bound=Section)


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """Configuration of a project's sweeps.

    Attributes:
        project: The project's folder, absolute.
        file: What `.hsm/config.yaml` says, without what does not count.
        defaults: Resources that user and site name.
        ask_seconds: Shortest time between two questions to the scheduler in a loop.
        notices: Words of site and user to whoever runs a sweep.
        warnings: What does not count, and why.
    """

    project: Path
    file: SettingsFile
    defaults: Resources
    ask_seconds: int = LEAST_ASK_SECONDS
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def outputs(self) -> Path:
        """The folder of the sweeps' folders."""
        return self.project / self.file.paths.output_dir

    def merge(self, asked: Mapping[str, object], *, machine: str = "") -> Resources:
        """Lay what a sweep asks for over the defaults of site, user, project and machine.

        Args:
            asked: As `PreparedSweep.resources` has it.
            machine: The one that the tasks are sent to; empty for this one.
        """
        layers: list[Mapping[str, object] | Resources] = [self.defaults, self.file.slurm]
        if (there := self.file.machines.get(machine)) is not None:
            layers += [there.slurm, {"pre_script": there.pre_script} if there.pre_script else {}]
        return merge_resources(*layers, asked)


def find_project(start: Path) -> Path:
    """Look for the project that a folder lies in: the nearest folder with a configuration of HSM's in `.hsm/`.

    Raises:
        NoConfigError: There is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        own = ProjectFolder(folder)
        if own.settings.exists() or own.config.exists():
            return folder
    shown = ProjectFolder(Path()).settings
    raise NoConfigError(
        f"No project found: neither {start} nor a folder above it holds {shown}",
        hint="run `hsm sweep init` in the project's folder",
    )


def load_settings(
    start: Path, *, is_trusted: bool = False, site: Path = SITE_DEFAULTS, user: Path | None = None
) -> ProjectSettings:
    """Load the configuration of the project that `start` lies in; a file that is missing says nothing.

    Args:
        start: A folder.
        is_trusted: The user says that all of it counts (`--trust`).
        site: The defaults of the site.
        user: The defaults of the user; default: `config.yaml` in the user's folder for HSM.

    Raises:
        NoConfigError: There is no project.
        ConfigError: A file cannot be read or is wrong (kind `bad_config`, `bad_yaml`); the message lists every mistake.
    """
    project = find_project(start)
    path = ProjectFolder(project).settings
    shown = str(path.relative_to(project)) if project == start.resolve() else str(path)
    file = _load(path, shown, _SETTINGS_FORM, SettingsFile)
    file, warnings = (file, ()) if is_trusted else drop_code(file, path)
    user = user_config_path("hsm") / "config.yaml" if user is None else user
    layers = [_load(place, str(place), _DEFAULTS_FORM, DefaultsFile) for place in (site, user)]
    return ProjectSettings(
        project=project,
        file=file,
        defaults=merge_resources(*(layer.slurm for layer in layers)),
        ask_seconds=max(LEAST_ASK_SECONDS, *(layer.ask_seconds or 0 for layer in layers)),
        notices=tuple(layer.notice.strip() for layer in layers if layer.notice),
        warnings=warnings,
    )


def _load(path: Path, shown: str, form: FileForm, model: type[_FileT]) -> _FileT:
    if not path.exists() and not path.is_symlink():
        return model()
    try:
        text = read_config_file(path, shown, noun="configuration", most_bytes=_MAX_BYTES)
    except FlawedFileError as error:
        raise ConfigError(str(error), hint=error.hint or "correct the file", kind="bad_config") from None
    root = compose_core(text, shown)
    if root is None or is_null(root):
        return model()
    if not isinstance(root, yaml.MappingNode):
        found = f"found {show_value(root)}, allowed: {list_keys(model)}"
        raise form.make_error([Finding(root.start_mark.line + 1, make_dotted(()), found)], shown)
    builder = make_core_builder()
    outcome = validate(model, builder.make_value(root, ()))
    errors = outcome if isinstance(outcome, list) else []
    if findings := [*builder.findings, *(form.make_finding(error, root) for error in errors)]:
        raise form.make_error(findings, shown)
    assert isinstance(outcome, model)  # noqa: S101 - no errors, so it is one
    return outcome
