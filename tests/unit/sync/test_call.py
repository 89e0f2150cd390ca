"""Meaning of a call's options, for the command line and for Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.errors import ConfigError, HsmError, UsageError
from hsm.model import Root, RunState
from hsm.sync.call import (
    choose_addresses,
    choose_targets,
    list_words,
    make_request,
    parse_overrides,
    parse_scope,
)
from hsm.sync.request import SyncRequest

TEXT = """\
default_target: nas
sync_targets:
  nas: {paths: {sweeps: /n/sweeps, wandb: /n/wandb}}
  hpc: {host: h, paths: {sweeps: ~/s, wandb: ~/w}, ssh: {identity_file: ~/.ssh/id}}
"""


@pytest.fixture
def config(tmp_path: Path) -> LoadedConfig:
    """Return the configuration of a project, which is the user's own."""
    path = tmp_path / ".hsm/sync_config.yaml"
    path.parent.mkdir(mode=0o700)
    path.write_text(TEXT)
    path.chmod(0o600)
    return load_project_config(tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"), [(None, ()), ((), ()), ("latest", ("latest",)), (["a", "b"], ("a", "b")), ("", ("",))]
)
def test_one_word_or_several(words: Any, expected: tuple[str, ...]) -> None:
    assert list_words(words) == expected


def test_what_is_not_said_is_everything() -> None:
    scope = parse_scope({})
    assert (scope.roots, scope.choice.is_everything, scope.allowed) == (tuple(Root), True, frozenset())


def test_each_option_has_its_part() -> None:
    scope = parse_scope(
        {
            "wandb_only": True,
            "runs": ["finished", "failed"],
            "include": "files/",
            "exclude": ["*.png"],
            "since": "2d",
            "newest": 3,
            "allow": ["space"],
        }
    )
    assert (scope.roots, scope.allowed) == ((Root.WANDB,), {"space"})
    assert scope.choice.states == (RunState.FINISHED, RunState.FAILED)
    assert (scope.choice.include, scope.choice.exclude) == (("files/",), ("*.png",))
    assert (scope.choice.since, scope.choice.newest) == ("2d", 3)


WRONG: dict[str, dict[str, Any]] = {
    "both": {"sweep_only": True, "wandb_only": True},
    "no state": {"runs": "dead"},
    "no pattern": {"exclude": ["#"]},
    "no age": {"since": "soon"},
    "too few": {"newest": 0},
    "no check": {"allow": "everything"},
}


@pytest.mark.parametrize("options", WRONG.values(), ids=WRONG)
def test_what_an_option_cannot_be_is_told(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        parse_scope(options)  # type: ignore[arg-type]


def test_a_request_has_what_was_said(config: LoadedConfig) -> None:
    options: Any = {"dry_run": True, "all_versions": True, "overwrite": True, "break_lock": True, "sweep_only": True}
    request = make_request(["s"], config.config.sync_targets, parse_scope(options), options, may_ask=True)
    assert (request.sweeps, list(request.targets), request.roots) == (("s",), ["nas", "hpc"], (Root.SWEEPS,))
    assert request.is_dry_run
    assert request.all_versions
    assert request.overwrite
    assert request.breaks_lock
    assert request.may_ask
    plain = make_request((), {}, parse_scope({}), {})
    assert plain == SyncRequest((), {})


def choose(config: LoadedConfig, *names: str, **options: Any) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []
    _, targets = choose_targets(config, names, **{"is_trusted": False, "warn": warnings.append, **options})
    return targets, warnings


def test_the_default_target_is_meant_where_none_is_named(config: LoadedConfig) -> None:
    assert [list(choose(config, *names)[0]) for names in ((), ("hpc",))] == [["nas"], ["hpc"]]
    with pytest.raises(UsageError):
        choose(config, "lab")


def test_what_a_call_sets_wins(config: LoadedConfig) -> None:
    overrides = parse_overrides(["options.max_depth=3"], to_wandb="/elsewhere")
    target = choose(config, overrides=overrides)[0]["nas"]
    assert (target.options.max_depth, target.paths.wandb, target.paths.sweeps) == (3, "/elsewhere", "/n/sweeps")
    with pytest.raises(ConfigError) as caught:
        choose(config, overrides=parse_overrides(None, to_sweeps="relative"))
    assert "--to-sweeps" in caught.value.message


def test_what_others_may_write_decides_no_login(config: LoadedConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    key = config.project / ".ssh/id"
    key.parent.mkdir()
    key.write_text("a key")
    monkeypatch.setenv("HOME", str(config.project))
    config.path.chmod(0o666)
    target, (warning,) = choose(config, "hpc")
    assert target["hpc"].ssh.identity_file is None
    assert "hpc" in warning
    trusted, none = choose(config, "hpc", is_trusted=True)
    assert (trusted["hpc"].ssh.identity_file, none) == ("~/.ssh/id", [])


def test_a_target_of_the_hosts_file_needs_the_machine(config: LoadedConfig) -> None:
    targets = config.config.sync_targets
    assert choose_addresses(config, targets) == targets
    (config.project / ".hsm/hosts.yaml").write_text("hosts: {}\n")
    gone = replace(targets["hpc"], node="gone")
    with pytest.raises(HsmError, match="no address of the machine gone"):
        choose_addresses(config, {"hpc": gone})
