"""Logins that begin before it is known what they are for: what is remembered, and when it is not used."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_sshd import PrivateSshd, list_processes

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.process.runner import Runner
from hsm.remote.openssh.control_folder import make_control_folder
from hsm.remote.openssh.early_login import EarlyLogins, parse_target_names
from hsm.remote.openssh.hints import HintFile, _drop_old, make_remembered
from tests.conftest import read_argv

TO = ["sync", "to", "latest"]
CONFIG = ".hsm/sync_config.yaml"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("sync to latest", (), id="the default"),
        pytest.param("sync run latest", (), id="the long name"),
        pytest.param("sync from latest", (), id="a pull"),
        pytest.param("sync to latest -t a", ("a",), id="short"),
        pytest.param("sync to latest --target a", ("a",), id="long"),
        pytest.param("sync to latest --target=a", ("a",), id="in one word"),
        pytest.param("sync to -t a one --target=b two -t c", ("a", "b", "c"), id="several, in their order"),
        pytest.param("sync to latest -n --json -v -q --overwrite -t a", ("a",), id="options that change no target"),
        pytest.param("sync to latest -t -n", ("-n",), id="a name like an option"),
        pytest.param("sync to latest -t", ("",), id="a name is missing"),
        pytest.param("sync to", (), id="no sweep"),
        pytest.param("sync to latest -ta", None, id="a name in its option"),
        pytest.param("sync to latest -nq", None, id="options in one word"),
        pytest.param("sync to latest --set ssh.client=paramiko", None, id="--set"),
        pytest.param("sync to latest --to-wandb /x", None, id="another folder"),
        pytest.param("sync to latest --trust", None, id="--trust"),
        pytest.param("sync to latest --tar a", None, id="a shortened option"),
        pytest.param("sync to latest --help", None, id="help"),
        pytest.param("sync to -- latest", None, id="the end of options"),
        pytest.param("sync status", None, id="another command"),
        pytest.param("--version sync to x", None, id="an option before"),
        pytest.param("sync", None, id="half a command"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_the_targets_that_a_command_line_names(line: str, expected: tuple[str, ...] | None) -> None:
    assert parse_target_names(line.split()) == expected


@given(st.lists(st.sampled_from(["sync", "to", "from", "-t", "--target", "--target=", "-n", "--", "x", "", "-"])))
def test_whatever_a_command_line_says_is_read(words: list[str]) -> None:
    names = parse_target_names(words)
    assert names is None or all(isinstance(name, str) for name in names)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def make_settings(port: int, **ssh: Any) -> TargetSettings:
    paths = {"sweeps": "~/sweeps", "wandb": "~/wandb"}
    return parse_target({"host": "127.0.0.1", "port": port, "paths": paths, "ssh": ssh})


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project with a configuration; what is remembered of it is forgotten afterwards."""
    folder = tmp_path / "project"
    (folder / ".hsm").mkdir(parents=True)
    (folder / CONFIG).write_text("sync_targets: {}\n")
    yield folder
    for name in ("desktop", "one", "two", "three"):
        find_hints(folder, name).path.unlink(missing_ok=True)


def find_hints(project: Path, name: str = "desktop") -> HintFile:
    """The hints of a target, whose folder exists from now on."""
    control = make_control_folder()
    assert control is not None
    return HintFile(control, project / CONFIG, name)


def remember(project: Path, *, default: tuple[str, ...] = ("desktop",), **targets: TargetSettings) -> Path:
    """Remember targets, and return the file that the last one was written to."""
    for name, settings in targets.items():
        find_hints(project, name).remember_login(settings, is_default=name in default)
    return find_hints(project, [*targets][-1]).path


def is_begun(project: Path, settings: TargetSettings, *, words: list[str] | None = None, name: str = "desktop") -> bool:
    """Begin as a call of the program would, and tell whether a login can be taken over."""
    early = EarlyLogins()
    early.begin(TO if words is None else words, project)
    try:
        ssh = early.take(name, settings, early.take_runner())
        if ssh is not None:
            ssh.drop_begun()
        return ssh is not None
    finally:
        early.end()


def test_what_is_remembered_is_begun_with_from_any_folder_of_the_project(project: Path, closed_port: int) -> None:
    settings = make_settings(closed_port, options={"Compression": "no"})
    assert not is_begun(project, settings)
    remember(project, desktop=settings)
    (project / "a/b").mkdir(parents=True)
    assert is_begun(project, settings)
    assert is_begun(project / "a/b", settings)
    assert is_begun(project, settings, words=[*TO, "-t", "desktop", "--json"])
    assert not is_begun(project.parent, settings)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(TO, {"one", "two"}, id="the defaults"),
        pytest.param([*TO, "-t", "three"], {"three"}, id="by name"),
        pytest.param([*TO, "-t", "two", "-t", "two", "-t", "nobody"], {"two"}, id="twice, and one that is unknown"),
        pytest.param([*TO, "--set", "x=1"], set(), id="what may change targets"),
        pytest.param(["sync", "status"], set(), id="another command"),
    ],
)
def test_the_targets_that_are_meant_are_begun_with(
    project: Path, closed_port: int, words: list[str], expected: set[str]
) -> None:
    targets = {name: make_settings(closed_port) for name in ("one", "two", "three")}
    remember(project, default=("one", "two"), **targets)
    early = EarlyLogins()
    early.begin(words, project)
    runner = early.take_runner()
    found = {name: early.take(name, settings, runner) for name, settings in targets.items()}
    for ssh in found.values():
        if ssh is not None:
            ssh.drop_begun()
    assert {name for name, ssh in found.items() if ssh is not None} == expected


def test_calls_that_mean_different_targets_remember_all_of_them(project: Path, closed_port: int) -> None:
    one, two = make_settings(closed_port), make_settings(closed_port, options={"Compression": "yes"})
    path = remember(project, one=one, default=("one",))
    remember(project, two=two, default=("one",))
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["target"] == "one"
    assert is_begun(project, one, name="one")
    assert is_begun(project, two, name="two", words=[*TO, "-t", "two"])


@pytest.mark.parametrize(
    "other",
    [
        {"host": "localhost"},
        {"user": "somebody"},
        {"port": 1},
        {"ssh": {"identity_file": "~/other_key"}},
        {"ssh": {"options": {"Compression": "yes"}}},
        {"ssh": {"config": "/etc/ssh/ssh_config"}},
    ],
)
def test_what_was_begun_with_other_settings_is_ended(project: Path, closed_port: int, other: dict[str, Any]) -> None:
    settings = make_settings(closed_port)
    asked = parse_target({**asdict(settings), **other})
    assert make_remembered(asked) != make_remembered(settings)
    remember(project, desktop=settings)
    assert not is_begun(project, asked)


def test_what_does_not_decide_the_login_may_differ(project: Path, closed_port: int) -> None:
    settings = make_settings(closed_port)
    paths = {"sweeps": "/other/sweeps", "wandb": "/other/wandb"}
    remember(project, desktop=settings)
    assert is_begun(project, parse_target({**asdict(settings), "paths": paths}))


def test_another_runner_takes_nothing_over(project: Path, closed_port: int) -> None:
    settings = make_settings(closed_port)
    remember(project, desktop=settings)
    early = EarlyLogins()
    early.begin(TO, project)
    assert early.take("desktop", settings, Runner()) is None
    early.end()


def rewrite(path: Path, text: str) -> None:
    """Write a file anew, in its place and with its time."""
    status = path.stat()
    time.sleep(0.01)  # a coarse clock would not tell
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path) -> None:
    """Put an equal one in its place."""
    shutil.copytree(path, path.with_name("copy"))
    shutil.rmtree(path)
    path.with_name("copy").rename(path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: (p / CONFIG).write_text("sync_targets: {a: {}}\n"), id="other content"),
        pytest.param(lambda p: rewrite(p / CONFIG, "sync_targets: []\n"), id="other content of equal size and time"),
        pytest.param(lambda p: (p / CONFIG).unlink(), id="no configuration"),
        pytest.param(lambda p: (p / CONFIG).chmod(0o666), id="a configuration that anybody may write"),
        pytest.param(lambda p: (p / ".hsm").chmod(0o777), id="a folder that anybody may write to"),
        pytest.param(lambda p: replace(p / ".hsm"), id="another folder"),
        pytest.param(lambda p: (p / "ssh_config").write_text("Host *\n  User x\n"), id="another ssh configuration"),
        pytest.param(lambda p: (p / "ssh_config").unlink(), id="no ssh configuration"),
        pytest.param(lambda p: (p / "ssh_config").chmod(0o666), id="an ssh configuration that anybody may write"),
    ],
)
def test_nothing_is_begun_once_a_file_is_another(
    project: Path, closed_port: int, change: Callable[[Path], object]
) -> None:
    (project / "ssh_config").write_text("")
    settings = make_settings(closed_port, config=str(project / "ssh_config"))
    remember(project, desktop=settings)
    assert is_begun(project, settings)
    change(project)
    assert not is_begun(project, settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser gives a folder away")
@pytest.mark.parametrize("place", [".hsm", CONFIG])
def test_nothing_is_begun_once_a_file_belongs_to_somebody_else(project: Path, closed_port: int, place: str) -> None:
    settings = make_settings(closed_port)
    remember(project, desktop=settings)
    os.chown(project / place, 12345, -1)
    assert not is_begun(project, settings)


def test_files_that_come_and_go_beside_the_configuration_do_not_matter(project: Path, closed_port: int) -> None:
    settings = make_settings(closed_port)
    remember(project, desktop=settings)
    (project / ".hsm/sync").mkdir()
    assert is_begun(project, settings)


@pytest.mark.parametrize("name", ["HSM_SYNC__options__compress", "hsm_sync__x", "HSM_SYNC_TARGETS"])
def test_what_the_environment_may_override_is_not_begun(
    project: Path, closed_port: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(closed_port)
    remember(project, desktop=settings)
    monkeypatch.setenv(name, "")
    assert not is_begun(project, settings)


def change_document(text: str, **changes: Any) -> str:
    return json.dumps({**json.loads(text), **changes})


LOGIN = {"host": "127.0.0.1", "user": None, "port": 1, "ssh": {"config": None, "identity_file": None, "options": {}}}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda text: text[: len(text) // 2], id="half"),
        pytest.param(lambda _: "\0\0\0", id="zeros"),
        pytest.param(lambda _: "[]", id="a list"),
        pytest.param(lambda _: "[" * 100_000, id="very deep"),
        pytest.param(lambda _: '{"schema": 1}', id="nothing in it"),
        pytest.param(lambda text: change_document(text, schema=2), id="a newer one"),
        pytest.param(lambda text: change_document(text, target=None), id="no name"),
        pytest.param(lambda text: change_document(text, login={}), id="half a login"),
        pytest.param(lambda text: change_document(text, login={**LOGIN, "ssh": 5}), id="no ssh"),
        pytest.param(
            lambda text: change_document(text, login={**LOGIN, "ssh": {"options": None}}),
            id="no options",
        ),
        pytest.param(lambda text: change_document(text, login={**LOGIN, "ssh": {"config": 5}}), id="a number"),
        pytest.param(lambda text: change_document(text, login={**LOGIN, "host": ["x"]}), id="a list's host"),
        pytest.param(lambda text: change_document(text, is_default=None), id="no default"),
        pytest.param(lambda text: change_document(text, destination=5), id="a destination that is a number"),
        pytest.param(lambda text: change_document(text, stamps=None), id="no stamps"),
    ],
)
def test_a_damaged_memory_is_none_and_is_made_anew(
    project: Path, closed_port: int, damage: Callable[[str], str]
) -> None:
    settings = make_settings(closed_port)
    path = remember(project, desktop=settings)
    path.write_text(damage(path.read_text()))
    assert not is_begun(project, settings)
    remember(project, desktop=settings)
    if path.exists():
        remember(project, desktop=settings)
        assert is_begun(project, settings, words=[*TO, "-t", "desktop"])
    path.unlink(missing_ok=True)


def test_a_memory_that_cannot_be_written_is_no_error(project: Path, closed_port: int) -> None:
    settings = make_settings(closed_port)
    path = remember(project, desktop=settings)
    path.unlink()
    path.mkdir()
    try:
        remember(project, desktop=settings)
        assert not is_begun(project, settings)
    finally:
        path.rmdir()


def test_what_is_taken_over_has_one_login_and_an_open_shell(project: Path, sshd: PrivateSshd) -> None:
    ssh = {"identity_file": str(sshd.identity_file), "options": {"UserKnownHostsFile": str(sshd.known_hosts)}}
    settings = make_settings(sshd.port, **ssh)
    remember(project, desktop=settings)
    early = EarlyLogins()
    early.begin(TO, project)
    client = early.take("desktop", settings, early.take_runner())
    assert client is not None
    with client.keep_shell():
        client.login()
        assert client.run("echo in").stdout == b"in\n"
    assert (sshd.count_logins(), sshd.count_sessions()) == (1, 1)
    assert client.logout()
    early.end()


def list_clients(port: int) -> list[int]:
    found = {process.pid: read_argv(process.pid) for process in list_processes()}
    return [pid for pid, argv in found.items() if Path(argv[0]).name == "ssh" and str(port) in argv]


def test_what_nobody_takes_over_is_ended_although_nobody_answers(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        settings = make_settings(port)
        remember(project, desktop=settings)
        early = EarlyLogins()
        early.begin(TO, project)
        deadline = time.monotonic() + 20
        while not list_clients(port):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with contextlib.closing(mute.accept()[0]):
            early.end()
            early.end()
            assert list_clients(port) == []


def test_what_nobody_needed_for_long_goes(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("project-1.json", "a.lock", "a.log", "socket", "project-2.json"):
        (folder / name).touch()
    for name in ("project-1.json", "a.lock", "a.log", "socket"):
        os.utime(folder / name, (1, 1))
    _drop_old(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["project-2.json", "socket"]
