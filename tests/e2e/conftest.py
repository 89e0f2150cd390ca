"""A project with a configuration for a private sshd, as a user would have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pytest
import yaml

from tests.e2e.permissions import bind_superuser

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm

Style = Literal["options", "alias"]


@dataclass(frozen=True)
class Project:
    """A project folder whose target is a private sshd."""

    folder: Path
    sshd: PrivateSshd
    target: str
    target_root: Path
    run_hsm: RunHsm

    @property
    def config_path(self) -> Path:
        """The project's sync_config.yaml."""
        return self.folder / ".hsm" / "sync_config.yaml"

    @property
    def target_sweeps(self) -> Path:
        """Where sweeps arrive; the sweep folders lie in `outputs/` below."""
        return self.target_root / "sweeps"

    @property
    def target_wandb(self) -> Path:
        """Where runs arrive."""
        return self.target_root / "wandb"

    def hsm(self, *args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `hsm` in the project's folder; the options are those of the `hsm` fixture."""
        return self.run_hsm(*args, cwd=self.folder, **options)

    def read_config(self) -> dict[str, Any]:
        """Read the configuration as plain values."""
        config: dict[str, Any] = yaml.safe_load(self.config_path.read_text())
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration anew."""
        self.config_path.parent.mkdir(exist_ok=True)
        self.config_path.write_text(yaml.safe_dump(dict(config), sort_keys=False))

    def set_options(self, **options: Any) -> None:
        """Set some of the target's `options`."""
        config = self.read_config()
        config["sync_targets"][self.target].setdefault("options", {}).update(options)
        self.write_config(config)

    def set_target(self, **keys: Any) -> None:
        """Set some of the target's own keys, such as `rsync_path`."""
        config = self.read_config()
        config["sync_targets"][self.target].update(keys)
        self.write_config(config)


class MakeProject(Protocol):
    """Makes a project; each call makes a new one."""

    def __call__(
        self,
        sshd: PrivateSshd | None = None,
        *,
        style: Style = "options",
        real: bool = False,
        options: Mapping[str, Any] | None = None,
        name: str = "Encoded-CVPR",
    ) -> Project: ...


@pytest.fixture
def make_project(request: pytest.FixtureRequest, tmp_path: Path, hsm: RunHsm) -> MakeProject:
    """Return a function that makes a project folder with a configuration for a private sshd.

    Its arguments: the sshd (default: the `sshd` fixture's); the `style` of the configuration, `options`
    (host, user, port, identity file) or `alias` (the `Host` entry of an ssh configuration file);
    `real`, whether the project holds the runs of `real_runs`; the target's `options`; the project's name.
    Nothing is made at the target: its root is `<tmp_path>/target-<n>/<name>`.
    """
    made: list[Project] = []

    def make(
        sshd: PrivateSshd | None = None,
        *,
        style: Style = "options",
        real: bool = False,
        options: Mapping[str, Any] | None = None,
        name: str = "Encoded-CVPR",
    ) -> Project:
        number = len(made) + 1
        server = sshd or request.getfixturevalue("sshd")
        folder = tmp_path / f"source-{number}" / name
        target_root = tmp_path / f"target-{number}" / name
        if real:
            request.getfixturevalue("copy_project")(folder)
        folder.mkdir(parents=True, exist_ok=True)
        project = Project(folder, server, "desktop", target_root, hsm)
        made.append(project)
        target = make_target(server, style, target_root)
        if options:
            target["options"] = dict(options)
        project.write_config({"default_target": "desktop", "sync_targets": {"desktop": target}})
        return project

    return make


@pytest.fixture
def make(make_project: MakeProject) -> Callable[..., Project]:
    """Return a function that makes a project whose runs are sent with all their versions."""

    def make(*args: Any, **options: Any) -> Project:
        every = {"latest_only": False, **options.pop("options", {})}
        return make_project(*args, real=True, options=every, **options)

    return make


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """Return a project with the real runs, and the `sshd` fixture's private sshd as its target."""
    return make_project(real=True)


def make_target(sshd: PrivateSshd, style: Style, root: Path) -> dict[str, Any]:
    """Make a target's part of the configuration."""
    paths = {"sweeps": str(root / "sweeps"), "wandb": str(root / "wandb"), "project_root": str(root)}
    if style == "alias":
        return {"host": sshd.alias, "paths": paths, "ssh": {"config": str(sshd.ssh_config)}}
    ssh = {
        "identity_file": str(sshd.identity_file),
        "options": {"UserKnownHostsFile": str(sshd.known_hosts)},
    }
    return {"host": sshd.host, "user": sshd.user, "port": sshd.port, "paths": paths, "ssh": ssh}


@pytest.fixture
def as_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run hsm with no right to pass over permissions."""
    bind_superuser(tmp_path, monkeypatch)
