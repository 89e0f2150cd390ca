"""What targets have for a sweep: from the file's patterns to the settings, and where each value comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hsm.config.layers import Layers, OriginKind
from hsm.config.load import parse_document
from hsm.config.loaded import LoadedConfig, resolve_for_sweep
from hsm.config.overrides import parse_assignments
from hsm.config.resolve import iter_shown, resolve_target
from hsm.config.settings import TargetSettings
from hsm.errors import ConfigError

TARGETS = """\
sync_targets:
  desktop:
    host: h
    paths: {project_root: ~/p, sweeps: sweeps, wandb: wandb}
    options: {max_depth: 2}
  backup:
    host: b
    paths: {sweeps: ~/s, wandb: ~/w}
"""
SWEEPS = """\
sweeps:
  "sweep_2025*":
    paths: {wandb: /archive/wandb}
    options: {max_depth: null, parallel_transfers:}
    targets:
      desktop:
        paths: {project_root: /q}
        options: {exclude: ["*.ckpt"]}
"""


def read_layers(text: str) -> Layers:
    return parse_document(text, "f.yaml")[1]


def problems_of(sweeps: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_document(TARGETS + sweeps, "f.yaml")
    assert caught.value.kind == "bad_config"
    return [line.split(None, 1)[1] for line in caught.value.message.splitlines()[1:]]


def test_a_pattern_changes_targets_for_its_sweeps_alone() -> None:
    layers = read_layers(TARGETS + SWEEPS)
    desktop = resolve_target(layers, "desktop", "sweep_20250101").settings
    assert isinstance(desktop, TargetSettings)
    assert (desktop.paths.sweeps, desktop.paths.wandb) == ("/q/sweeps", "/archive/wandb")
    assert (desktop.options.max_depth, desktop.options.exclude) == (None, ("*.ckpt",))
    assert desktop.options.parallel_transfers == 4
    backup = resolve_target(layers, "backup", "sweep_20250101").settings
    assert (backup.paths.sweeps, backup.paths.wandb) == ("~/s", "/archive/wandb")
    for sweep in ("sweep_20240101", None):
        assert resolve_target(layers, "desktop", sweep).settings.paths.wandb == "~/p/wandb"


def test_settings_stay_what_they_are_where_no_pattern_matches() -> None:
    section, layers = parse_document(TARGETS + SWEEPS, "f.yaml")
    loaded = LoadedConfig(section.make(), Path("/p/.hsm/sync_config.yaml"), Path("/p"), lambda: layers)
    settings = resolve_target(layers, "desktop").settings
    assert resolve_for_sweep(loaded, "desktop", "sweep_2024", settings) is settings
    assert resolve_for_sweep(loaded, "desktop", "sweep_2025", settings).paths.sweeps == "/q/sweeps"
    without = replace(loaded, config=replace(loaded.config, sweeps={}), read_layers=Layers)
    assert resolve_for_sweep(without, "desktop", "sweep_2025", settings) is settings


def test_each_value_says_where_it_comes_from() -> None:
    layers = read_layers(TARGETS + SWEEPS)
    typed = Layers(layers.file, layers.patterns, command_line=parse_assignments(["options.parallel_transfers=8"]))
    shown = {row.key: row for row in iter_shown(resolve_target(typed, "desktop", "sweep_2025"))}
    places = {key: (row.value, row.origin.kind, row.origin.place) for key, row in shown.items()}
    assert places["host"] == ("h", OriginKind.FILE, "f.yaml:3")
    assert places["paths.sweeps"] == ("/q/sweeps", OriginKind.FILE, "f.yaml:4")
    assert places["paths.wandb"] == ("/archive/wandb", OriginKind.SWEEPS, "sweep_2025* (f.yaml:11)")
    assert places["options.exclude"] == (("*.ckpt",), OriginKind.SWEEPS, "sweep_2025* (f.yaml:16)")
    assert places["options.max_depth"] == (None, OriginKind.SWEEPS, "sweep_2025* (f.yaml:12)")
    assert places["options.parallel_transfers"] == (8, OriginKind.COMMAND_LINE, "--set options.parallel_transfers")
    assert places["secrets"] == ("warn", OriginKind.DEFAULT, "")
    assert places["ssh.options"] == ({}, OriginKind.DEFAULT, "")


def test_a_value_that_may_be_a_secret_is_not_shown() -> None:
    text = TARGETS.replace("host: h", "host: h\n    ssh: {options: {setENV: TOKEN=abc, Compression: yes}}")
    shown = {row.key: row.value for row in iter_shown(resolve_target(read_layers(text), "desktop"))}
    assert (shown["ssh.options.setENV"], shown["ssh.options.Compression"]) == ("(not shown)", "yes")


def test_a_wrong_value_that_may_be_a_secret_is_not_shown() -> None:
    typed = parse_assignments(["ssh.options.SetEnv=abc\x07"])
    with pytest.raises(ConfigError, match=r"ssh\.options\.SetEnv") as caught:
        resolve_target(Layers(read_layers(TARGETS).file, command_line=typed), "desktop")
    assert "abc" not in caught.value.message


def test_an_error_names_every_place_that_has_a_part_in_it() -> None:
    layers = read_layers(TARGETS + SWEEPS)
    typed = parse_assignments([], texts={"--to-sweeps": (("paths", "sweeps"), "/archive/wandb")})
    layers = Layers(layers.file, layers.patterns, command_line=typed)
    assert resolve_target(layers, "desktop").settings.paths.sweeps == "/archive/wandb"
    with pytest.raises(ConfigError) as caught:
        resolve_target(layers, "desktop", "sweep_2025")
    assert caught.value.kind == "bad_override"
    assert caught.value.message.startswith(
        "sweep_2025* (f.yaml:11): desktop.paths.wandb (with --to-sweeps): '/archive/wandb' is the same folder as sweeps"
    )


@pytest.mark.parametrize(
    ("sweeps", "expected"),
    [
        pytest.param("sweeps: {a/b: {}}", ["9 sweeps.a/b: has a slash"], id="slash"),
        pytest.param("sweeps: {-a: {}}", ["9 sweeps.-a: begins with -"], id="dash"),
        pytest.param("sweeps: {a: {host: x}}", ["9 sweeps.a.host: unknown"], id="key of a target that stays"),
        pytest.param(
            "sweeps: {a: {max_depth: 1}}", ["9 sweeps.a.max_depth: unknown here, it belongs into options"], id="section"
        ),
        pytest.param("sweeps: {a: {paths: {wandb: ..}}}", ["9 sweeps.a.paths.wandb: '..' has the"], id="path"),
        pytest.param(
            "sweeps: {a: {options: {max_depht: 1}}}",
            ["9 sweeps.a.options.max_depht: unknown, did you mean max_depth?"],
            id="nearest option",
        ),
        pytest.param(
            "sweeps:\n  a:\n    targets: {dekstop: {}}",
            ["11 sweeps.a.targets.dekstop: no target is named dekstop; there are: desktop, backup"],
            id="unknown target",
        ),
        pytest.param(
            "sweeps:\n  a:\n    paths: {wandb: rel}",
            ["11 sweeps.a.paths.wandb: for target backup: 'rel' is relative, and there is no project_root"],
            id="relative where a target has no root",
        ),
        pytest.param(
            "sweeps:\n  a:\n    targets:\n      backup: {paths: {wandb: ~/s}}",
            ["12 sweeps.a.targets.backup.paths.wandb: for target backup: '~/s' is the same folder as sweeps"],
            id="folders of a target",
        ),
        pytest.param(
            "sweeps:\n  a:\n    paths: {sweeps: ~/w}",
            ["10 sweeps.a: for target backup: "],
            id="the other folder is the target's own",
        ),
    ],
)
def test_what_the_file_must_not_say_of_sweeps(sweeps: str, expected: list[str]) -> None:
    found = problems_of(sweeps)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert " ".join(line.split()).startswith(start)
