"""Settings as the program uses them: values that were checked (`hsm.config.schema` has the rules). Pure.

Apart from their models, since those take a third of the time of a short call (docs/design/configuration-and-trust.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Literal

from hsm.config.rules.values import SECRET_PATTERNS

ReceiveMode = Literal["private", "umask"]


@dataclass(frozen=True, kw_only=True)
class TargetPaths:
    """Folders at a target, absolute or beginning with `~/`."""

    project_root: str | None = None
    sweeps: str
    wandb: str


@dataclass(frozen=True, kw_only=True)
class SshSettings:
    """Settings of ssh for a target, beyond the user's own ssh configuration."""

    client: Literal["auto", "openssh", "paramiko"] = "auto"
    config: str | None = None
    identity_file: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SyncOptions:
    """Options of what is sent to a target, and how."""

    sync_sweep_metadata: bool = True
    sync_wandb_runs: bool = True
    latest_only: bool | Literal["uploaded"] = True
    max_depth: int | None = 1
    parallel_transfers: int = 4
    compress: Literal["auto", "zstd", "lz4", "none"] = "auto"
    check_remote_first: bool = True
    sync_artifact_staging: bool = False
    exclude: tuple[str, ...] = ()
    receive_mode: ReceiveMode = "private"
    folder_links: Literal["skip", "follow"] | tuple[str, ...] = "skip"
    secret_patterns: tuple[str, ...] = SECRET_PATTERNS


@dataclass(frozen=True, kw_only=True)
class AfterSyncStep:
    """Step that is done at a target once a sweep has arrived there: an upload, or a command."""

    wandb_sync: bool = False
    wandb_path: str | None = None
    run: str | None = None


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """One machine that receives, or a folder of this one."""

    host: str = ""
    node: str | None = None
    user: str | None = None
    port: int | None = None
    engine: Literal["auto", "rsync", "sftp", "copy"] = "auto"
    rsync_path: str | None = None
    paths: TargetPaths
    ssh: SshSettings = SshSettings()
    secrets: Literal["warn", "refuse", "ignore"] = "warn"
    options: SyncOptions = SyncOptions()
    after_sync: tuple[AfterSyncStep, ...] = ()

    @property
    def uploads(self) -> bool:
        """Tell whether runs are uploaded from the target."""
        return any(step.wandb_sync for step in self.after_sync)

    @property
    def is_folder(self) -> bool:
        """Tell whether the target is a folder of this machine."""
        return not self.host


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """Folders of sweeps and runs in the project that is sent from."""

    sweeps: str = "sweeps"
    wandb: str = "wandb"
    wandb_folders: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SyncConfig:
    """Whole of `.hsm/sync_config.yaml`.

    Attributes:
        source: Where sweeps and runs lie in this project.
        sync_targets: The machines that receive, by name.
        default_target: The targets of a call that names none.
        sweeps: What the file says of the sweeps that a pattern matches, as it says it; `hsm.config.layers` has it read.
        source_keys: Keys of `source` that the file or the environment has; the others are defaults.
    """

    source: SourceSettings = SourceSettings()
    sync_targets: Mapping[str, TargetSettings]
    default_target: tuple[str, ...] = ()
    sweeps: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    source_keys: frozenset[str] = frozenset()


def iter_changed(section: SourceSettings | SyncOptions | AfterSyncStep) -> Iterator[tuple[str, object]]:
    """Yield the settings of a section that are not at their defaults."""
    for known in fields(section):
        value = getattr(section, known.name)
        default = known.default if known.default_factory is MISSING else known.default_factory()
        if value != default:
            yield known.name, value
