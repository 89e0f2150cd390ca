from pathlib import Path

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import select_targets

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))


def test_the_promised_examples_are_there() -> None:
    assert {"desktop.yaml", "desktop-and-backup.yaml", "mac-laptop.yaml"} <= {file.name for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_example_loads_and_has_a_default(file: Path, tmp_path: Path) -> None:
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm/sync_config.yaml").write_bytes(file.read_bytes())

    config = load_project_config(tmp_path).config

    assert tuple(select_targets(config, [])) == config.default_target
    for target in config.sync_targets.values():
        assert target.paths.sweeps.startswith(("/", "~/"))
        assert target.paths.wandb.startswith(("/", "~/"))


def test_backup_example_says_what_its_comments_say(tmp_path: Path) -> None:
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm/sync_config.yaml").write_bytes((EXAMPLES / "desktop-and-backup.yaml").read_bytes())

    desktop, backup = load_project_config(tmp_path).config.sync_targets.values()

    assert desktop.paths.sweeps == "~/code/Encoded-CVPR/sweeps"
    assert desktop.options.exclude == ("*.ckpt", "checkpoints/")
    assert (backup.options.latest_only, backup.options.max_depth) == (False, None)
    assert backup.ssh.options == {"ServerAliveInterval": "15", "Compression": "no"}
