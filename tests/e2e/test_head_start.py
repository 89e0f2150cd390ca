"""Streams that open before the check has ended: they save a wait, and change nothing else."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from private_sshd import list_descendants

from hsm.config.load import load_project_config
from hsm.discover.sweeps import Layout
from hsm.errors import TargetError
from hsm.process.runner import Runner
from hsm.progress import SilentReporter
from hsm.records.lock import make_holder, make_lock_content
from hsm.remote.openssh.control_folder import make_control_folder
from hsm.remote.openssh.hints import HintFile
from hsm.sync.bring.push import push
from hsm.sync.request import SyncRequest
from hsm.targets.connect import connect
from hsm.targets.contract import get_roots
from hsm.transfer.base import make_workspace
from tests.conftest import read_argv
from tests.e2e.aftermath import SWEEP, Said, assert_end, sync
from tests.e2e.synthetic import write_file, write_project
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project

CONFIG_FILE = f"sweeps/outputs/{SWEEP}/sweep_config.yaml"
EVERYTHING = {"latest_only": False}
TOKEN = b"key = AKIA" + b"Z7QXR4MHB2LWJ5TD\n"
"""What looks like a secret."""


RSYNC = """\
#!/bin/sh
case " $* " in *" --server "*) : >{folder}/begun;; esac
exec /usr/bin/rsync "$@"
"""
RSYNC_HERE = """\
#!/bin/sh
case "$*" in --version) : >{folder}/begun;; esac
exec /usr/bin/rsync "$@"
"""
FIND = """\
#!/bin/sh
n=0
while [ -e {folder}/waits ] && [ ! -e {folder}/begun ] && [ ! -e {folder}/late ] && [ $n -lt 100 ]
do n=$((n+1)); sleep 0.1; done
[ $n -lt 100 ] || : >{folder}/late
exec /usr/bin/find "$@"
"""


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def make_small(make_project: MakeProject) -> Callable[..., Project]:
    """Return a function that makes a project of three small runs."""

    def make(*args: Any, **options: Any) -> Project:
        project = make_project(*args, options={**EVERYTHING, **options})
        write_project(project.folder)
        return project

    return make


@pytest.fixture
def slow(start_sshd: Callable[..., PrivateSshd], tmp_path: Path) -> PrivateSshd:
    """A server at which the `find` of a check waits for a stream, as soon as `stand-ins/waits` is there."""
    folder = tmp_path / "stand-ins"
    folder.mkdir()
    for name, text in (("rsync", RSYNC), ("find", FIND)):
        write_program(folder / name, text.format(folder=folder))
    return start_sshd(environment={"PATH": f"{folder}:/usr/bin:/bin"})


def sync_slowly(project: Project, *args: str, **options: Any) -> Said:
    """Sync where the check ends once a stream has been opened, and fail where none is."""
    folder = project.sshd.folder.parent / "stand-ins"
    (folder / "begun").unlink(missing_ok=True)
    (folder / "waits").touch()
    project.sshd.clear_log()
    said = sync(project, *args, **options)
    assert not (folder / "late").exists()
    (folder / "waits").unlink()
    return said


@pytest.fixture
def own(make_small: Callable[..., Project]) -> Project:
    """A project of three small runs that were brought to the target."""
    project = make_small()
    assert_end(sync(project), "done", 0)
    project.sshd.clear_log()
    return project


def get_output(project: Project, number: int = 0) -> Path:
    return project.folder / f"wandb/run-20251020_212836-r{number:04}/files/output.log"


def change(path: Path, content: bytes = b"changed\n") -> Path:
    """Write a file now, as a run does."""
    return write_file(path, content, mtime_ns=time.time_ns())


def count_streams(sshd: PrivateSshd) -> int:
    return sum("rsync" in command and "--server" in command for command in sshd.read_commands())


def list_state(root: Path) -> dict[str, tuple[int, int, int]]:
    """All below a folder, by what would be another after any change."""
    paths = [path for path in sorted(root.rglob("*")) if not path.is_dir()]
    return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_size, p.stat().st_mtime_ns) for p in paths}


def find_hints(project: Project) -> Path:
    """The file with what the last push left behind of the target."""
    folder = make_control_folder()
    assert folder is not None
    return HintFile(folder, project.config_path, project.target).path


def read_journal(project: Project) -> dict[str, Any]:
    path = project.folder / ".hsm/sync" / project.target / f"{SWEEP}.json"
    journal: dict[str, Any] = json.loads(path.read_text())
    return journal


def list_streams_here() -> list[list[str]]:
    """The rsync processes that this one has started and that still run."""
    found = [read_argv(process.pid) for process in list_descendants(os.getpid())]
    return [argv for argv in found if Path(argv[0]).name == "rsync" and "--server" not in argv]


def list_streams_there(sshd: PrivateSshd) -> list[list[str]]:
    pid = int((sshd.folder / "sshd.pid").read_text())
    found = [read_argv(process.pid) for process in list_descendants(pid)]
    return [argv for argv in found if "--server" in argv and "rsync" in argv[0]]


def assert_streams_end(sshd: PrivateSshd) -> None:
    deadline = time.monotonic() + 10
    while left := list_streams_there(sshd):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def assert_equal_trees(project: Project, root: Path) -> None:
    for place in ("wandb", "sweeps"):
        for path in (project.folder / place).rglob("*"):
            if path.is_file():
                there = root / path.relative_to(project.folder)
                assert there.read_bytes() == path.read_bytes(), there
                assert there.stat().st_mtime_ns == path.stat().st_mtime_ns, there


def test_a_stream_opens_before_the_check_has_ended(slow: PrivateSshd, make_small: Callable[..., Project]) -> None:
    project = make_small(slow)
    assert_end(sync(project), "done", 0)
    change(get_output(project))
    said = sync_slowly(project)
    assert_end(said, "done", 0)
    assert (said.n_sent, said.n_planned) == (1, 1)
    assert (count_streams(slow), slow.count_sessions(), slow.count_logins()) == (1, 2, 0)
    assert_equal_trees(project, project.target_root)


def test_the_first_time_the_rsync_here_is_asked_before_the_check_has_ended(
    slow: PrivateSshd, make_small: Callable[..., Project], tmp_path: Path
) -> None:
    stand_in = write_program(tmp_path / "here/rsync", RSYNC_HERE.format(folder=tmp_path / "stand-ins"))
    path = f"{stand_in.parent}:{os.environ['PATH']}"
    assert_end(sync_slowly(make_small(slow), env={"PATH": path}), "done", 0)


def test_an_rsync_here_that_comes_later_is_found_by_the_next_pass(
    make_small: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_small()
    settings = load_project_config(project.folder).config.sync_targets[project.target]
    settings = replace(settings, engine="rsync")
    layout = Layout(str(project.folder), str(project.folder / "sweeps"), str(project.folder / "wandb"))
    connection = connect(project.target, settings, Runner(), SilentReporter(), layout=layout)
    make_engine = partial(
        connection.make_engine, get_roots(settings), workspace=make_workspace(SWEEP, "abc"), update_only=False
    )
    with connection.keep_open():
        connection.login()
        assert connection.endpoint.machine.rsync_version
        with monkeypatch.context() as without:
            without.setenv("PATH", str(tmp_path))
            with pytest.raises(TargetError, match="no rsync on this machine"):
                make_engine()
        assert make_engine().capabilities.name == "rsync"


def test_changes_of_both_folders_have_a_stream_each(own: Project) -> None:
    change(get_output(own))
    change(get_output(own, 2))
    change(own.folder / CONFIG_FILE, b"grid: {a: 1}\n")
    said = sync(own)
    assert_end(said, "done", 0)
    assert said.n_sent == 3
    assert (count_streams(own.sshd), own.sshd.count_sessions()) == (2, 3)
    assert_equal_trees(own, own.target_root)
    assert_end(sync(own), "nothing_to_do", 0)


@pytest.mark.slow
def test_a_call_without_a_change_opens_none(own: Project) -> None:
    assert_end(sync(own), "nothing_to_do", 0)
    assert (count_streams(own.sshd), own.sshd.count_sessions()) == (0, 1)


@pytest.mark.slow
def test_a_dry_run_opens_none(own: Project) -> None:
    change(get_output(own))
    said = sync(own, "--dry-run")
    assert_end(said, "planned", 0)
    assert said.n_planned == 1
    assert count_streams(own.sshd) == 0


@pytest.mark.slow
def test_more_names_than_a_stream_that_is_open_takes_go_another_way(own: Project) -> None:
    folder = get_output(own).parent
    for number in range(500):
        change(folder / f"{'x' * 60}-{number}", b"x")
    said = sync(own)
    assert_end(said, "done", 0)
    assert said.n_sent == 500
    assert_equal_trees(own, own.target_root)
    assert_streams_end(own.sshd)


@pytest.mark.slow
def test_hostile_names_go_over_a_stream_that_is_open(own: Project) -> None:
    names = ["-n", ":x", "a:b", "*", "[a]", "a\nb", "#c", ";d", " ", "it's", "\udcff", "\\#012", "%n", "$(touch x)"]
    for name in names:
        change(get_output(own).parent / name, name.encode("utf-8", "surrogateescape"))
    said = sync(own)
    assert_end(said, "done", 0)
    assert said.n_sent == len(names)
    assert count_streams(own.sshd) == 1
    assert_equal_trees(own, own.target_root)


SECRET_NAME = ".netrc"
"""Of a file that the plan leaves out."""


@pytest.mark.slow
def test_a_change_that_the_plan_leaves_out_changes_nothing_there(
    slow: PrivateSshd, make_small: Callable[..., Project]
) -> None:
    project = make_small(slow)
    write_file(get_output(project).with_name(SECRET_NAME), b"x")
    assert_end(sync(project), "done", 0)
    before, journal = list_state(project.target_root), read_journal(project)
    change(get_output(project).with_name(SECRET_NAME))
    said = sync_slowly(project)
    assert_end(said, "nothing_to_do", 0)
    assert count_streams(slow) == 1
    assert list_state(project.target_root) == before
    assert read_journal(project) == journal
    assert_streams_end(slow)


@pytest.mark.slow
def test_nothing_lands_where_a_folder_was_before_it_moved(
    slow: PrivateSshd, make_small: Callable[..., Project], tmp_path: Path
) -> None:
    project = make_small(slow)
    old, new, link = tmp_path / "old", tmp_path / "new", tmp_path / "link"
    for place in (old, new):
        (place / "sweeps/outputs" / SWEEP).mkdir(parents=True)
    link.symlink_to(old)
    project.set_target(paths={"sweeps": f"{link}/sweeps", "wandb": f"{link}/wandb"})
    assert_end(sync(project), "done", 0)
    before = list_state(old)
    link.unlink()
    link.symlink_to(new)
    change(get_output(project))
    said = sync_slowly(project)
    assert said.end == ("done", 0), said.why
    assert count_streams(slow) == 3  # one of them was begun for the old place
    assert list_state(old) == before
    assert list(old.rglob(".hsm-tmp")) == []
    assert_equal_trees(project, new)
    assert_streams_end(project.sshd)


@pytest.mark.slow
def test_another_rsync_there_gets_a_stream_of_its_own(slow: PrivateSshd, make_small: Callable[..., Project]) -> None:
    own = make_small(slow)
    assert_end(sync(own), "done", 0)
    path = find_hints(own)
    hints = json.loads(path.read_text())
    there = hints["destination"]
    there["rsync"] = there["rsync"].replace("protocol version", "protocol version 3", 1)
    path.write_text(json.dumps(hints))
    change(get_output(own))
    assert_end(sync_slowly(own), "done", 0)
    assert count_streams(slow) == 2
    assert_equal_trees(own, own.target_root)
    assert_streams_end(own.sshd)


@pytest.mark.slow
@pytest.mark.parametrize(
    "destination",
    [
        None,
        5,
        {},
        {"route": "x", "roots": {}, "rsync": "", "round_trip_seconds": None},
        {"route": "x", "roots": {"wandb": "/no/such"}, "rsync": "x", "round_trip_seconds": None},
        {"route": "x", "roots": {"wandb": 5}, "rsync": 5, "round_trip_seconds": "x"},
        {"route": "x", "roots": {"nowhere": "/x"}, "rsync": "x", "round_trip_seconds": -1},
    ],
)
def test_a_damaged_hint_does_no_harm(own: Project, destination: object) -> None:
    path = find_hints(own)
    hints = json.loads(path.read_text())
    if isinstance(destination, dict) and "route" in destination:
        destination["route"] = hints["destination"]["route"]
    path.write_text(json.dumps({**hints, "destination": destination}))
    change(get_output(own))
    said = sync(own)
    assert said.end == ("done", 0), said.why
    assert_equal_trees(own, own.target_root)


def hold_lock(project: Project) -> Path:
    """Somebody else holds the sweep's lock at the target, and is alive."""
    path = project.target_sweeps / "outputs" / SWEEP / ".hsm-sync/lock"
    holder = make_holder("b" * 16, "2025-10-20T21:28:36+00:00")
    content = json.loads(make_lock_content(holder))
    path.write_text(json.dumps({**content, "host": "another"}))
    return path


def test_nothing_is_written_where_somebody_else_holds_the_lock(
    slow: PrivateSshd, make_small: Callable[..., Project]
) -> None:
    own = make_small(slow)
    assert_end(sync(own), "done", 0)
    lock = hold_lock(own)
    before = list_state(own.target_root)
    change(get_output(own))
    said = sync_slowly(own)
    assert said.end == ("locked", 11), said.why
    assert count_streams(slow) == 1
    assert list_state(own.target_root) == before
    assert list(own.target_root.rglob(".hsm-tmp")) == []
    assert_streams_end(own.sshd)
    lock.unlink()
    assert_end(sync(own), "done", 0)
    assert_equal_trees(own, own.target_root)


@pytest.mark.slow
def test_nothing_is_written_when_the_plan_is_refused(slow: PrivateSshd, make_small: Callable[..., Project]) -> None:
    own = make_small(slow)
    own.set_target(secrets="refuse")
    assert_end(sync(own), "done", 0)
    change(get_output(own), TOKEN)
    before = list_state(own.target_root)
    said = sync_slowly(own)
    assert said.end == ("refused", 12), said.why
    assert count_streams(slow) == 1
    assert list_state(own.target_root) == before
    assert list(own.target_root.rglob(".hsm-tmp")) == []
    assert_streams_end(own.sshd)


def push_here(project: Project) -> int:
    """Push in this process, which goes on to run afterwards."""
    loaded = load_project_config(project.folder)
    request = SyncRequest((SWEEP,), loaded.config.sync_targets, pauses_seconds=())
    return int(push(loaded, request, runner=Runner(), reporter=SilentReporter()).exit_code)


def leave_out(project: Project) -> int:
    """Two folders have changes, and only one of them is sent any."""
    change(get_output(project).with_name(SECRET_NAME))
    change(project.folder / CONFIG_FILE, b"grid: {b: 1}\n")
    return 0


def leave_all_out(project: Project) -> int:
    change(get_output(project).with_name(SECRET_NAME))
    return 0


def hold(project: Project) -> int:
    change(get_output(project))
    hold_lock(project)
    return 11


def refuse(project: Project) -> int:
    change(get_output(project), TOKEN)
    return 12


@pytest.mark.parametrize("prepare", [leave_out, leave_all_out, hold, refuse])
def test_no_stream_outlives_its_sync(
    slow: PrivateSshd, make_small: Callable[..., Project], prepare: Callable[[Project], int], tmp_path: Path
) -> None:
    project = make_small(slow)
    if prepare is refuse:  # hints hold for one state of the configuration
        project.set_target(secrets="refuse")
    assert push_here(project) == 0
    code = prepare(project)
    (tmp_path / "stand-ins/begun").unlink()
    (tmp_path / "stand-ins/waits").touch()
    assert push_here(project) == code
    assert not (tmp_path / "stand-ins/late").exists()
    assert list_streams_here() == []
    assert_streams_end(slow)


def is_quick(said: Said) -> bool:
    return "Trying again" not in said.stderr


@parametrize("n_sessions", [1, 2, 3], quick=[2])
@parametrize("way", ["early", "not early", "cold"], quick=["early"])
def test_a_server_with_few_sessions_needs_no_waiting(
    n_sessions: int, way: str, start_sshd: Callable[..., PrivateSshd], make_small: Callable[..., Project]
) -> None:
    sshd = start_sshd(settings={"MaxSessions": str(n_sessions)})
    project = make_small(sshd)
    assert_end(sync(project), "done", 0)
    change(get_output(project))
    change(project.folder / CONFIG_FILE, b"grid: {c: 1}\n")
    if way == "cold":
        project.hsm("sync", "logout")
    words = ("--set", "options.parallel_transfers=4") if way == "not early" else ()
    said = sync(project, *words)
    assert said.end == ("done", 0), said.why
    assert is_quick(said), said.stderr
    assert said.n_sent == 2
    assert_equal_trees(project, project.target_root)
    assert sshd.count_logins() == 1 + (way == "cold")
    assert_streams_end(sshd)
