"""Settings from the environment and the command line: what names mean, what values are, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.config.layers import OriginKind, SettingKey
from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.config.overrides import parse_assignments, parse_environment
from hsm.config.resolve import resolve_target
from hsm.config.schema import TargetSection
from hsm.config.sections import is_open, iter_keys
from hsm.config.trust import apply_trust
from hsm.errors import ConfigError

TEXT = """\
default_target: desktop
sync_targets:
  desktop:
    host: h
    paths: {project_root: ~/p, sweeps: sweeps, wandb: wandb}
    ssh: {options: {ServerAliveInterval: 5}}
  my-back.up:
    host: b
    paths: {sweeps: ~/s, wandb: ~/w}
"""
TARGETS = ("desktop", "my-back.up")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm/sync_config.yaml").write_text(TEXT)
    return tmp_path


def load(project: Path, **variables: str) -> LoadedConfig:
    return load_project_config(project, environment={f"HSM_SYNC__{name}": text for name, text in variables.items()})


def problems_of(call: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.kind == "bad_override"
    assert caught.value.hint
    return caught.value.message.splitlines()


def read_values(settings: dict[SettingKey, object]) -> dict[str, object]:
    return {".".join(key): getattr(setting, "value", None) for key, setting in settings.items()}


@pytest.mark.parametrize(
    ("name", "text", "target", "key", "value"),
    [
        ("HSM_SYNC__DESKTOP__PATHS__WANDB", "/x", "desktop", "paths.wandb", "/x"),
        ("hsm_sync__Desktop__paths__WandB", "/x", "desktop", "paths.wandb", "/x"),
        ("HSM_SYNC__MY_BACK_UP__OPTIONS__MAX_DEPTH", "3", "my-back.up", "options.max_depth", 3),
        ("HSM_SYNC__MY_BACK_UP__OPTIONS__MAX_DEPTH", "null", "my-back.up", "options.max_depth", None),
        ("HSM_SYNC__DESKTOP__OPTIONS__LATEST_ONLY", "no", "desktop", "options.latest_only", False),
        ("HSM_SYNC__DESKTOP__OPTIONS__EXCLUDE", '["*.ckpt", a]', "desktop", "options.exclude", ["*.ckpt", "a"]),
        ("HSM_SYNC__DESKTOP__USER", '"123"', "desktop", "user", "123"),
        ("HSM_SYNC__DESKTOP__USER", "a: b # c", "desktop", "user", "a: b # c"),
        ("HSM_SYNC__DESKTOP__PORT", " 022 ", "desktop", "port", "022"),
        ("HSM_SYNC__DESKTOP__SSH__OPTIONS__Compression", "yes", "desktop", "ssh.options.compression", True),
    ],
)
def test_a_variable_sets_a_key(name: str, text: str, target: str, key: str, value: object) -> None:
    top, by_target = parse_environment({name: text, "HSM_OTHER": "x", "PATH": "y"}, TARGETS)
    assert top == {}
    assert {found: read_values(dict(layer)) for found, layer in by_target.items()} == {target: {key: value}}
    (setting,) = by_target[target].values()
    assert setting.origin == (OriginKind.ENVIRONMENT, name)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"DEKSTOP__PATHS__WANDB": "/x"},
            ["HSM_SYNC__DEKSTOP__PATHS__WANDB: unknown, did you mean HSM_SYNC__DESKTOP__PATHS__WANDB?"],
        ),
        (
            {"DESKTOP__PATHS": "/x"},
            ["HSM_SYNC__DESKTOP__PATHS: is a section; name one of its keys, as HSM_SYNC__DESKTOP__PATHS__PROJECT_ROOT"],
        ),
        (
            {"DESKTOP__SSH__OPTIONS": "/x"},
            [
                "HSM_SYNC__DESKTOP__SSH__OPTIONS: is a section; name one of its keys, "
                "as HSM_SYNC__DESKTOP__SSH__OPTIONS__NAME"
            ],
        ),
        ({"Q" * 30: ""}, [f"HSM_SYNC__{'Q' * 30}: unknown"]),
        (
            {"DESKTOP__PORT": "1", "desktop__port": "2"},
            ["HSM_SYNC__desktop__port: sets the same as HSM_SYNC__DESKTOP__PORT"],
        ),
        (
            {"DESKTOP__OPTIONS__EXCLUDE": "[a"},
            ["HSM_SYNC__DESKTOP__OPTIONS__EXCLUDE: line 1, column 1: the bracket that begins here is not closed"],
        ),
        (
            {"DESKTOP__OPTIONS__EXCLUDE": "[*.ckpt]"},
            [
                "HSM_SYNC__DESKTOP__OPTIONS__EXCLUDE: line 1, column 2: * at the beginning of a text means something "
                "else in YAML; quote it"
            ],
        ),
        (
            {"DESKTOP__OPTIONS__MAX_DEPTH": "0", "MY_BACK_UP__PATHS__WANDB": "rel"},
            [
                "HSM_SYNC__DESKTOP__OPTIONS__MAX_DEPTH: desktop.options.max_depth: found the number 0, allowed: "
                "a whole number from 1, or null for all depths",
                "HSM_SYNC__MY_BACK_UP__PATHS__WANDB: my-back.up.paths.wandb: 'rel' is relative, and there is no "
                "project_root; allowed: an absolute path, ~/... or one relative to project_root (not / or ~ itself, "
                "no ..)",
            ],
        ),
        (
            {"DESKTOP__OPTIONS__EXCLUDE": "[a, 5]"},
            [
                "HSM_SYNC__DESKTOP__OPTIONS__EXCLUDE: desktop.options.exclude[1]: found the number 5, allowed: a list "
                'of gitignore patterns, for example ["*.ckpt"]; if it is meant as text, write "5"'
            ],
        ),
        (
            {"DEFAULT_TARGET": "nope"},
            [
                "HSM_SYNC__DEFAULT_TARGET: default_target: 'nope' no target is named nope; there are: desktop, "
                "my-back.up; allowed: a target's name, or a list of names"
            ],
        ),
    ],
    ids=str,
)
def test_what_a_variable_must_not_be(project: Path, variables: dict[str, str], expected: list[str]) -> None:
    assert problems_of(lambda: load(project, **variables)) == expected


def test_two_targets_of_one_name_in_the_environment() -> None:
    (line,) = problems_of(lambda: parse_environment({"HSM_SYNC__A_B__PORT": "1"}, ["a-b", "a.b"]))
    assert line == "HSM_SYNC__A_B__PORT: means each of the targets a-b, a.b; name it in the file instead"


def test_an_empty_variable_counts_as_unset(project: Path) -> None:
    assert load(project, DESKTOP__PATHS__WANDB=" ").config == load(project).config


def test_the_environment_is_in_the_configuration(project: Path) -> None:
    loaded = load(
        project,
        DESKTOP__PATHS__PROJECT_ROOT="/q",
        SOURCE__WANDB="/data/wandb",
        DEFAULT_TARGET="[my-back.up, desktop]",
    )
    config = loaded.config
    assert config.sync_targets["desktop"].paths.wandb == "/q/wandb"
    assert config.sync_targets["my-back.up"] == load(project).config.sync_targets["my-back.up"]
    assert (config.source.sweeps, config.source.wandb) == ("sweeps", "/data/wandb")
    assert config.source_keys == {"wandb"}
    assert config.default_target == ("my-back.up", "desktop")


def test_this_process_s_environment_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSM_SYNC__DESKTOP__PORT", "2222")
    assert load_project_config(project).config.sync_targets["desktop"].port == 2222


def test_an_option_of_ssh_is_replaced_whatever_its_case(project: Path) -> None:
    loaded = load(project, DESKTOP__SSH__OPTIONS__SERVERALIVEINTERVAL="7")
    assert loaded.config.sync_targets["desktop"].ssh.options == {"serveraliveinterval": "7"}


def test_ssh_settings_of_the_environment_count_where_the_file_s_do_not(project: Path) -> None:
    (project / ".hsm").chmod(0o777)
    loaded, warnings = apply_trust(load(project, DESKTOP__SSH__IDENTITY_FILE="~/.ssh/id"), is_trusted=False)
    assert len(warnings) == 1
    ssh = loaded.config.sync_targets["desktop"].ssh
    assert (ssh.identity_file, ssh.options) == ("~/.ssh/id", {})
    assert resolve_target(loaded.layers, "desktop", "s").settings.ssh == ssh


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["options.parallel_transfers=8"], {"options.parallel_transfers": 8}),
        (["options.parallel_transfers=8", "options.parallel_transfers=9"], {"options.parallel_transfers": 9}),
        (["options.exclude=*.ckpt"], {"options.exclude": "*.ckpt"}),
        (["options.exclude=[a=b]"], {"options.exclude": ["a=b"]}),
        (["user="], {"user": None}),
        ([" secrets = refuse "], {"secrets": "refuse"}),
        (["ssh.options.Compression=yes", "ssh.config=~/c"], {"ssh.options.Compression": True, "ssh.config": "~/c"}),
    ],
    ids=str,
)
def test_an_assignment_sets_a_key(words: list[str], expected: dict[str, object]) -> None:
    found = parse_assignments(words)
    assert read_values(dict(found)) == expected
    assert {setting.origin.kind for setting in found.values()} == {OriginKind.COMMAND_LINE}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("x", "--set x: there is no =; write KEY=VALUE, for example options.parallel_transfers=8"),
        ("options.parallel=3", "--set options.parallel: unknown, did you mean options.parallel_transfers?"),
        ("max_depth=3", "--set max_depth: unknown, did you mean options.max_depth?"),
        ("paths=3", "--set paths: is a section; its keys are paths.project_root, paths.sweeps, paths.wandb"),
        ("ssh.options=3", "--set ssh.options: is a section; write ssh.options.NAME=VALUE"),
        ("options.max_depth.x=3", "--set options.max_depth.x: unknown, did you mean options.max_depth?"),
    ],
)
def test_what_an_assignment_must_not_be(word: str, expected: str) -> None:
    assert problems_of(lambda: parse_assignments(["options.max_depth=1", word])) == [expected]


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(problems_of(lambda: parse_assignments(["x", "=", "y=1", "options.exclude=[a"]))) == 4


def test_folders_are_text_as_they_stand_and_win() -> None:
    texts = {"--to-wandb": (("paths", "wandb"), "[1]")}
    found = parse_assignments(["paths.wandb=/x"], texts=texts)
    assert read_values(dict(found)) == {"paths.wandb": "[1]"}
    assert found["paths", "wandb"].origin.place == "--to-wandb"


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
PLAIN_KEYS = [key for key, known in iter_keys(TargetSection) if not is_open(known)]


@given(NAMES, st.sampled_from(PLAIN_KEYS), st.data())
def test_every_key_of_every_target_has_a_variable_in_any_case(name: str, key: SettingKey, data: st.DataObject) -> None:
    joined = "__".join(["HSM_SYNC", name.replace("-", "_").replace(".", "_"), *key])
    flips = data.draw(st.lists(st.booleans(), min_size=len(joined), max_size=len(joined)))
    variable = "".join(letter.upper() if flip else letter.lower() for letter, flip in zip(joined, flips, strict=True))
    top, by_target = parse_environment({variable: "1"}, [name])
    assert (top, {found: list(layer) for found, layer in by_target.items()}) == ({}, {name: [key]})


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=10), max_size=4), st.text(max_size=20))
def test_no_text_is_a_bug(variables: dict[str, str], word: str) -> None:
    named = {f"HSM_SYNC__DESKTOP__OPTIONS__{name}": text for name, text in variables.items()}
    for call in (
        lambda: parse_environment({**named, "HSM_SYNC__DESKTOP__USER": word}, TARGETS),
        lambda: parse_assignments([word, f"user={word}", f"{word}=1"]),
    ):
        try:
            call()
        except ConfigError as error:
            assert error.kind == "bad_override"  # noqa: PT017 - most texts are refused, some are not
