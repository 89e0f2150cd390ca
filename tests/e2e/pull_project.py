"""A desktop that pulls: an empty project here, and projects at far sides that a private sshd serves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm


@dataclass
class Desktop:
    """A project here whose targets lie behind a private sshd."""

    here: Path
    far: Path
    sshd: PrivateSshd
    run_hsm: RunHsm
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def sweeps(self) -> Path:
        """Where sweeps arrive."""
        return self.here / "sweeps"

    @property
    def wandb(self) -> Path:
        """Where runs arrive."""
        return self.here / "wandb"

    def add_target(self, name: str, root: Path, **options: Any) -> Path:
        """Add a far project as a target; its folders are made."""
        for folder in ("sweeps", "wandb"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        sshd = self.sshd
        self.targets[name] = {
            "host": sshd.host,
            "user": sshd.user,
            "port": sshd.port,
            "paths": {"sweeps": "sweeps", "wandb": "wandb", "project_root": str(root)},
            "ssh": {
                "identity_file": str(sshd.identity_file),
                "options": {"UserKnownHostsFile": str(sshd.known_hosts)},
            },
            **({"options": options} if options else {}),
        }
        self.write_config()
        return root

    def write_config(self, **sections: Any) -> Path:
        """Write the configuration anew."""
        path = self.here / ".hsm" / "sync_config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"default_target": "hpc", "sync_targets": self.targets, **sections}))
        return path

    def hsm(self, *args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `hsm` here."""
        return self.run_hsm(*args, cwd=self.here, **options)

    def read(self, *args: str | Path) -> dict[str, Any]:
        """Run `hsm ... --json` and return the document."""
        completed = self.hsm(*args, "--json")
        assert completed.stdout, completed.stderr
        document: dict[str, Any] = json.loads(completed.stdout)
        assert document["exit_code"] == completed.returncode, completed.stderr
        return document

    def pull(self, *args: str | Path) -> dict[str, Any]:
        """Run `hsm sync from ... --json` for one sweep and one target, and return the target's part."""
        document = self.read("sync", "from", *args)
        assert document["error"] is None, document["error"]
        assert (document["command"], document["direction"]) == ("sync from", "pull")
        (sweep,) = document["sweeps"]
        (target,) = sweep["targets"]
        result: dict[str, Any] = target
        return result


def make_desktop(folder: Path, sshd: PrivateSshd, run_hsm: RunHsm) -> Desktop:
    """Make an empty project here, and a far one that is the target `hpc`."""
    desktop = Desktop(folder / "desktop" / "Encoded-CVPR", folder / "hpc" / "Encoded-CVPR", sshd, run_hsm)
    desktop.here.mkdir(parents=True)
    desktop.add_target("hpc", desktop.far)
    for name in ("sweeps", "wandb"):
        (desktop.far / name).rmdir()
    desktop.far.rmdir()
    return desktop
