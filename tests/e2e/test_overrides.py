"""Other settings for some sweeps, from the environment and from the command line: what lands where for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import FLAT_SWEEP, NESTED_SWEEP
from tests.marks import parametrize

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Project


def list_runs(folder: Path) -> int:
    return len(list(folder.glob("offline-run-*")))


def list_sweeps(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "outputs").glob("*"))


def resolve(project: Project, sweep: str, *args: str, **options: Any) -> dict[str, tuple[object, str, str]]:
    """What `hsm sync list --resolved` says of the project's target: value, origin and place by key."""
    answer = project.hsm("sync", "list", "--resolved", sweep, "--json", *args, **options)
    assert answer.returncode == 0, answer.stderr
    (target,) = json.loads(answer.stdout)["targets"]
    return {row["key"]: (row["value"], row["origin"], row["place"]) for row in target["settings"]}


def add_pattern(project: Project, glob: str, **changes: Any) -> None:
    config = project.read_config()
    config.setdefault("sweeps", {})[glob] = changes
    project.write_config(config)


def test_a_pattern_brings_its_sweeps_elsewhere_and_leaves_others_alone(project: Project) -> None:
    archive = project.target_root / "archive"
    add_pattern(project, "sweep_20251021*", paths={"wandb": "archive"}, options={"max_depth": None})
    answer = project.hsm("sync", "to", FLAT_SWEEP, NESTED_SWEEP, "--json", "-q")
    assert answer.returncode == 0, answer.stderr
    assert (list_runs(project.target_wandb), list_runs(archive)) == (18, 15)
    assert list_sweeps(project.target_sweeps) == [FLAT_SWEEP, NESTED_SWEEP]
    flat, nested = json.loads(answer.stdout)["sweeps"]
    assert flat["targets"][0]["files"]["deeper"] > 0
    assert nested["targets"][0]["files"]["deeper"] == 0

    again = project.hsm("sync", "to", FLAT_SWEEP, NESTED_SWEEP, "--json", "-q")
    states = [sweep["targets"][0]["state"] for sweep in json.loads(again.stdout)["sweeps"]]
    assert states == ["nothing_to_do", "nothing_to_do"]
    verified = project.hsm("sync", "verify", NESTED_SWEEP)
    assert verified.returncode == 0, verified.stdout
    next(archive.glob("offline-run-*/*.wandb")).write_bytes(b"other")
    assert project.hsm("sync", "verify", NESTED_SWEEP).returncode == 1


@pytest.mark.slow
def test_the_command_line_wins_over_the_environment_and_that_over_the_file(project: Project) -> None:
    add_pattern(project, "*", paths={"wandb": "of-the-pattern"}, options={"parallel_transfers": 2})
    root = project.target_root
    env = {"HSM_SYNC__DESKTOP__PATHS__WANDB": "of-the-environment"}

    assert project.hsm("sync", "to", NESTED_SWEEP, "-q").returncode == 0
    assert project.hsm("sync", "to", NESTED_SWEEP, "-q", env=env).returncode == 0
    typed = ("--to-wandb", "typed", "--to-sweeps", str(root / "other"), "--set", "options.sync_sweep_metadata=no")
    assert project.hsm("sync", "to", NESTED_SWEEP, "-q", *typed, env=env).returncode == 0

    found = {path.name: list_runs(path) for path in root.iterdir()}
    assert found == {"sweeps": 0, "of-the-pattern": 15, "of-the-environment": 15, "typed": 15, "other": 0}
    assert [path.name for path in (root / "other/outputs" / NESTED_SWEEP).iterdir()] == [".hsm-sync"]


def test_each_value_says_where_it_comes_from(project: Project) -> None:
    add_pattern(project, "sweep_2025*", options={"max_depth": 2, "parallel_transfers": 2, "latest_only": False})
    env = {"hsm_sync__desktop__options__parallel_transfers": "3", "HSM_SYNC__DESKTOP__OPTIONS__LATEST_ONLY": "uploaded"}
    found = resolve(project, "latest", "--set", "options.latest_only=true", env=env)
    assert found["options.latest_only"] == (True, "command_line", "--set options.latest_only")
    assert found["options.parallel_transfers"] == (3, "environment", "hsm_sync__desktop__options__parallel_transfers")
    value, origin, place = found["options.max_depth"]
    assert (value, origin) == (2, "sweeps")
    number = int(place.removeprefix("sweep_2025* (.hsm/sync_config.yaml:").removesuffix(")"))
    assert project.config_path.read_text().splitlines()[number - 1].strip() == "max_depth: 2"
    assert found["host"][1:] == ("file", ".hsm/sync_config.yaml:4")
    assert found["secrets"] == ("warn", "default", "")
    shown = project.hsm("sync", "list", "--resolved", NESTED_SWEEP, env=env)
    assert shown.returncode == 0
    for words in (NESTED_SWEEP, "options.max_depth", place, "hsm_sync__desktop__options__parallel_transfers"):
        assert words in shown.stdout


@pytest.mark.slow
def test_a_sweep_that_is_not_here_is_resolved_by_its_name(project: Project) -> None:
    add_pattern(project, "sweep_2030*", options={"max_depth": 7})
    assert resolve(project, "sweep_20300101_000000")["options.max_depth"][0] == 7
    assert project.hsm("sync", "list", "--resolved", "../x").returncode == 2


@parametrize(
    ("args", "env", "words"),
    [
        (("--set", "options.parallel_transfers=100"), {}, "--set options.parallel_transfers: "),
        (("--set", "nonsense"), {}, "there is no ="),
        ((), {"HSM_SYNC__DESKTOP__PATH__WANDB": "/x"}, "did you mean HSM_SYNC__DESKTOP__PATHS__WANDB?"),
        (("--to-wandb", "../x"), {}, "--to-wandb: desktop.paths.wandb: '../x' has the component .."),
    ],
    quick=[(("--set", "nonsense"), {}, "there is no =")],
    ids=str,
)
def test_what_is_wrong_is_said_before_anything_starts(
    project: Project, args: tuple[str, ...], env: dict[str, str], words: str
) -> None:
    answer = project.hsm("sync", "to", NESTED_SWEEP, "--json", *args, env=env)
    error = json.loads(answer.stdout)["error"]
    assert (answer.returncode, error["kind"]) == (2, "bad_override")
    assert words in error["message"]
    assert not project.target_root.exists()


def test_overrides_without_a_sweep_are_refused_by_list(project: Project) -> None:
    answer = project.hsm("sync", "list", "--set", "options.max_depth=1")
    assert (answer.returncode, "--resolved" in answer.stderr) == (2, True)


@pytest.mark.slow
def test_the_lists_show_patterns_and_no_secret(project: Project) -> None:
    add_pattern(project, "sweep_2025*", targets={"desktop": {"options": {"exclude": ["*.ckpt"]}}})
    config = project.read_config()
    config["sync_targets"]["desktop"]["ssh"]["options"]["SetEnv"] = "TOKEN=abc123"
    project.write_config(config)
    shown = project.hsm("sync", "list").stdout
    document = project.hsm("sync", "list", "--json").stdout
    resolved = [project.hsm("sync", "list", "--resolved", "latest", *args).stdout for args in ((), ("--json",))]
    assert "sweep_2025*" in shown
    assert json.loads(document)["sweeps"] == {
        "sweep_2025*": {"targets": {"desktop": {"options": {"exclude": ["*.ckpt"]}}}}
    }
    assert all("SetEnv" in text and "abc123" not in text for text in (shown, document, *resolved))
