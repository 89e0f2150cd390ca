"""What is done at a target after a sync: uploads by a stand-in for wandb that records its calls, and commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import FLAT_SWEEP as SWEEP
from tests.contract.conftest import start_sftp_only
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm
    from tests.e2e.conftest import MakeProject, Project

UPLOAD: list[dict[str, Any]] = [{"wandb_sync": True}]

STAND_IN = f"""#!{sys.executable}
import json, os, pathlib, sys
base = pathlib.Path(__file__).parent
with (base / "calls").open("a") as calls:
    calls.write(json.dumps([os.getcwd(), sys.argv[1:]]) + "\\n")
print("the stand-in speaks of", sys.argv[-1])
if (base / "fails").exists():
    sys.exit("no route to the host")
if not (base / "forgets").exists():
    for log in pathlib.Path(sys.argv[-1]).glob("*.wandb"):
        if (base / "grows").exists():
            log.write_bytes(log.read_bytes() + b"more")
        pathlib.Path(f"{{log}}.synced").touch()
"""


class StandIn:
    """A program that stands in for wandb at the target, and what it was called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.path = folder / "wandb"
        self.path.write_text(STAND_IN)
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[tuple[str, list[str]]]:
        """The working folder and the arguments of each call."""
        path = self.folder / "calls"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def uploaded(self) -> list[str]:
        """The names of the runs it was called for."""
        return sorted(Path(arguments[-1]).name for _, arguments in self.calls)

    def be(self, mood: str) -> None:
        """Let it fail (`fails`), leave no mark (`forgets`), or let the log grow meanwhile (`grows`)."""
        (self.folder / mood).touch()

    def be_well(self) -> None:
        for mood in ("fails", "forgets", "grows"):
            (self.folder / mood).unlink(missing_ok=True)


@pytest.fixture
def wandb(tmp_path: Path) -> StandIn:
    """Return the stand-in."""
    return StandIn(tmp_path / "bin")


@pytest.fixture
def make_uploading(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], wandb: StandIn
) -> Callable[..., Project]:
    """Return a function that makes a project with three finished runs and a killed one, at whose target wandb is."""

    def make(steps: list[dict[str, Any]], sshd: PrivateSshd | None = None, **settings: Any) -> Project:
        path = f"{wandb.folder}:{os.environ['PATH']}"
        project = make_project(sshd or start_sshd(environment={"PATH": path}), real=True)
        keep_some(project.folder)
        config = project.read_config()
        config["sync_targets"]["desktop"]["paths"]["project_root"] = str(project.target_root)
        config["sync_targets"]["desktop"] |= {"after_sync": steps, **settings}
        project.write_config(config)
        return project

    return make


def keep_some(folder: Path) -> None:
    """Remove most of the runs."""
    finished = [path for path in list_runs(folder) if has_ended(path)]
    killed = [path for path in list_runs(folder) if not has_ended(path)]
    assert (len(finished), len(killed)) == (15, 3)
    for path in [*finished[3:], *killed[1:]]:
        shutil.rmtree(path)


def list_runs(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*"))


def has_ended(run: Path) -> bool:
    from hsm.endpoint import FileEnds
    from hsm.wandb_log.facts import read_log

    (log,) = run.glob("*.wandb")
    content = log.read_bytes()
    return read_log(FileEnds(str(log), len(content), content, content, 0)).exit_code is not None


def list_ended(project: Project) -> list[str]:
    return [run.name for run in list_runs(project.folder) if has_ended(run)]


def read_target(project: Project, *words: str, code: int = 0) -> dict[str, Any]:
    """Sync with --json, and return what it says of the one target."""
    done = project.hsm("sync", "to", SWEEP, "--json", *words)
    assert done.returncode == code, done.stdout + done.stderr
    (sweep,) = json.loads(done.stdout)["sweeps"]
    (target,) = sweep["targets"]
    return dict(target)


def list_kinds(target: dict[str, Any]) -> list[str]:
    return [problem["kind"] for problem in target["problems"] if problem["severity"] == "failure"]


class TestUpload:
    def test_each_run_that_has_ended_is_uploaded_once_and_whole(
        self, make_uploading: Callable[..., Project], wandb: StandIn
    ) -> None:
        project = make_uploading(UPLOAD)
        ended = list_ended(project)
        assert len(ended) == 3
        (step,) = read_target(project)["after_sync"]
        assert (step["step"], step["state"], sorted(step["runs"])) == ("wandb_sync", "done", ended)
        assert wandb.uploaded == ended
        assert {cwd for cwd, _ in wandb.calls} == {str(project.target_root)}
        assert [arguments[:-1] for _, arguments in wandb.calls] == [["sync"]] * 3
        media = [path.relative_to(project.folder) for path in (project.folder / "wandb").rglob("files/media/**/*.*")]
        uploaded = [path for path in media if path.parts[1] in ended]
        assert uploaded
        assert all((project.target_root / path).exists() for path in uploaded), "all versions are there"

        (again,) = read_target(project)["after_sync"]
        assert (again["state"], again["runs"]) == ("nothing_to_do", [])
        assert wandb.uploaded == ended, "no run is uploaded twice"

    @pytest.mark.slow
    def test_a_run_of_which_versions_were_left_before_is_made_whole_first(
        self, make_uploading: Callable[..., Project], wandb: StandIn
    ) -> None:
        project = make_uploading([])
        project.set_options(latest_only=True)
        assert read_target(project)["files"]["superseded"]
        assert wandb.calls == []
        project.set_target(after_sync=UPLOAD)
        target = read_target(project)
        assert target["files"]["sent"]
        assert target["files"]["superseded"] == 0
        assert wandb.uploaded == list_ended(project)

    @pytest.mark.slow
    def test_a_log_that_grew_is_uploaded_again(self, make_uploading: Callable[..., Project], wandb: StandIn) -> None:
        project = make_uploading(UPLOAD)
        read_target(project)
        run = project.folder / "wandb" / list_ended(project)[0]
        (log,) = run.glob("*.wandb")
        later = log.stat().st_mtime_ns + 60 * 10**9
        os.utime(log, ns=(later, later))
        (step,) = read_target(project)["after_sync"]
        assert step["runs"] == [run.name]
        assert wandb.calls[-1][1][:-1] == ["sync", "--include-synced"]
        assert read_target(project)["after_sync"][0]["runs"] == []

    @pytest.mark.slow
    def test_a_mark_here_that_is_older_than_its_log_stays_here(
        self, make_uploading: Callable[..., Project], wandb: StandIn
    ) -> None:
        project = make_uploading(UPLOAD)
        grown, other, third = (project.folder / "wandb" / name for name in list_ended(project))
        for run, seconds in ((grown, -60), (other, 60)):
            (log,) = run.glob("*.wandb")
            time_ns = log.stat().st_mtime_ns + seconds * 10**9
            mark = Path(f"{log}.synced")
            mark.touch()
            os.utime(mark, ns=(time_ns, time_ns))
        read_target(project)
        assert wandb.uploaded == [grown.name, third.name]
        assert all(list(run.glob("*.synced")) for run in list_runs(project.target_root) if run.name == other.name)

    def test_names_are_never_words_of_the_shell(self, make_uploading: Callable[..., Project], wandb: StandIn) -> None:
        project = make_uploading(UPLOAD)
        run = project.folder / "wandb" / list_ended(project)[0]
        hostile = run.with_name(f"{run.name}'; touch pwned; $(touch pwned2) `touch pwned3` \"&\n-x")
        run.rename(hostile)
        (step,) = read_target(project)["after_sync"]
        assert step["state"] == "done"
        assert hostile.name in wandb.uploaded
        assert not list(project.target_root.rglob("pwned*"))
        assert not list(project.sshd.home.rglob("pwned*"))

    @pytest.mark.slow
    def test_what_was_left_out_keeps_a_run_from_being_uploaded(
        self, make_uploading: Callable[..., Project], wandb: StandIn
    ) -> None:
        project = make_uploading(UPLOAD)
        project.set_options(exclude=["requirements.txt"])
        target = read_target(project)
        assert wandb.calls == []
        notices = [problem["path"] for problem in target["problems"] if problem["kind"] == "upload_not_whole"]
        assert sorted(notices) == list_ended(project)

    @parametrize(
        ("mood", "words"),
        [
            ("fails", "exit code 1: no route to the host"),
            ("forgets", "no mark"),
            ("grows", "the run's log grew meanwhile"),
        ],
        quick=[("fails", "exit code 1: no route to the host")],
    )
    def test_uploads_that_fail_are_problems_and_are_tried_again(
        self, make_uploading: Callable[..., Project], wandb: StandIn, mood: str, words: str
    ) -> None:
        project = make_uploading(UPLOAD)
        wandb.be(mood)
        target = read_target(project, code=1)
        assert target["state"] == "partial"
        assert list_kinds(target) == ["upload_failed", "upload_failed", "upload_not_tried"]
        assert words in target["problems"][-2]["message"]
        assert not list((project.target_root / "wandb").rglob("*.synced"))
        assert len(wandb.calls) == 2
        wandb.be_well()
        target = read_target(project, code=int(mood == "grows"))
        if mood == "grows":
            assert list_kinds(target) == ["conflict", "conflict"], "the longer logs there are kept, and not uploaded"
        else:
            assert sorted(set(wandb.uploaded)) == list_ended(project)

    @pytest.mark.slow
    def test_a_target_without_wandb(
        self, make_uploading: Callable[..., Project], wandb: StandIn, sshd: PrivateSshd
    ) -> None:
        project = make_uploading([{"wandb_sync": True, "wandb_path": "wandb-of-nowhere"}], sshd)
        target = read_target(project, code=1)
        assert list_kinds(target) == ["wandb_missing", "upload_not_tried"]
        project.set_target(after_sync=[{"wandb_sync": True, "wandb_path": str(wandb.path)}])
        read_target(project)
        assert wandb.uploaded == list_ended(project)

    @pytest.mark.slow
    def test_a_target_where_no_command_may_run(
        self,
        make_uploading: Callable[..., Project],
        start_sshd: Callable[..., PrivateSshd],
        tmp_path: Path,
        wandb: StandIn,
    ) -> None:
        project = make_uploading(UPLOAD, start_sftp_only(start_sshd, tmp_path))
        target = read_target(project, code=1)
        assert list_kinds(target) == ["no_commands"]
        assert target["files"]["sent"]
        assert wandb.calls == []

    @pytest.mark.slow
    def test_artifacts_that_did_not_come_along_are_named(
        self, make_uploading: Callable[..., Project], wandb: StandIn, tmp_path: Path
    ) -> None:
        project = make_uploading(UPLOAD)
        staging = write_run_with_artifact(project.folder, tmp_path / "staging")
        target = read_target(project)
        assert target["after_sync"][0]["state"] == "done", "the staging folder is this machine's, so it is there"
        for path in staging:
            path.unlink()
        for mark in (project.target_root / "wandb").rglob("*.synced"):
            mark.unlink()
        target = read_target(project, code=1)
        named = {problem["path"].partition(": ")[2] for problem in target["problems"]}
        assert {"model my-model"} <= named
        assert set(list_kinds(target)) == {"artifact_missing"}
        assert len(wandb.calls) == 8, "the run itself is uploaded all the same"


def write_run_with_artifact(project: Path, data: Path) -> list[Path]:
    """Let wandb write a run, an hour ago, that logs an artifact; return the files that wait for their upload."""
    script = (
        f"import wandb, pathlib\nrun = wandb.init(project='p', group={SWEEP!r}, dir={str(project)!r})\n"
        "artifact = wandb.Artifact('my-model', 'model')\n"
        "with artifact.new_file('model.bin') as stream: stream.write('hello')\n"
        "run.log_artifact(artifact)\nrun.finish()\n"
    )
    environment = {**os.environ, "WANDB_DATA_DIR": str(data), "WANDB_CONSOLE": "off"}
    before = set(list_runs(project))
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=project)
    (run,) = set(list_runs(project)) - before
    for path in run.rglob("*"):
        old = path.lstat().st_mtime_ns - 3600 * 10**9
        os.utime(path, ns=(old, old), follow_symlinks=False)
    staging = [path for path in data.rglob("*") if path.is_file()]
    assert staging
    return staging


class TestRun:
    COMMAND = 'echo "$HSM_SWEEP $HSM_TARGET"; test -f "$HSM_RECEIPT" && pwd && echo x >>ran'

    def test_once_for_a_sync_that_sent_something(self, make_uploading: Callable[..., Project]) -> None:
        project = make_uploading([{"run": self.COMMAND}])
        done = project.hsm("sync", "to", SWEEP)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{SWEEP} desktop\n" in done.stdout
        assert f"{project.target_root}\n" in done.stdout
        (step,) = read_target(project)["after_sync"]
        assert (step["state"], step["exit_code"]) == ("nothing_to_do", None)
        assert (project.target_root / "ran").read_text() == "x\n"

    def test_a_failure_is_a_problem(self, make_uploading: Callable[..., Project]) -> None:
        project = make_uploading([{"run": "echo first; echo to stderr >&2; exit 7"}, {"run": "echo second"}])
        target = read_target(project, code=1)
        assert list_kinds(target) == ["after_sync_failed"]
        assert "exit code 7: to stderr" in target["problems"][-1]["message"]
        first, second = target["after_sync"]
        assert (first["state"], first["exit_code"], first["output"]) == ("failed", 7, "first\nto stderr\n")
        assert (second["state"], second["output"]) == ("done", "second\n")

    @pytest.mark.slow
    def test_in_passes_it_is_run_again_until_it_succeeds(self, make_uploading: Callable[..., Project]) -> None:
        project = make_uploading([{"run": "echo x >>ran; test $(wc -l <ran) -ge 2"}])
        words = ("--continuous", "--interval", "1", "--expect", "5", "--settle", "15s", "--stale", "1s")
        done = project.hsm("sync", "to", SWEEP, "--json", *words)
        document = json.loads(done.stdout)
        assert document["follow"]["passes"] > 2
        steps = document["sweeps"][0]["targets"][0]["after_sync"]
        assert [step["state"] for step in steps] == ["failed", "done"]
        assert (project.target_root / "ran").read_text() == "x\nx\n"

    def test_a_dry_run_says_what_would_be_done(self, make_uploading: Callable[..., Project], wandb: StandIn) -> None:
        project = make_uploading([*UPLOAD, {"run": self.COMMAND}])
        done = project.hsm("sync", "to", SWEEP, "--dry-run")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "after_sync: would upload 3 runs with `wandb sync`" in done.stdout
        assert "after_sync: would run: echo" in done.stdout
        assert not project.target_root.exists()
        assert wandb.calls == []

    @pytest.mark.slow
    def test_no_after_sync(self, make_uploading: Callable[..., Project], wandb: StandIn) -> None:
        project = make_uploading([*UPLOAD, {"run": self.COMMAND}])
        target = read_target(project, "--no-after-sync")
        assert target["after_sync"] == []
        assert target["files"]["superseded"] == 0
        assert wandb.calls == []
        assert not (project.target_root / "ran").exists()

    @pytest.mark.slow
    def test_what_it_prints_cannot_steer_the_terminal(self, make_uploading: Callable[..., Project]) -> None:
        project = make_uploading([{"run": r"printf 'red \033[31m and \377\n'"}])
        done = project.hsm("sync", "to", SWEEP)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout
        assert "red \\x1b[31m and" in done.stdout

    def test_ctrl_c_ends_it_there(self, make_uploading: Callable[..., Project]) -> None:
        project = make_uploading([{"run": "echo $$ >pid.new; mv pid.new pid; sleep 300"}])
        argv = [sys.executable, "-m", "hsm", "sync", "to", SWEEP, "--json"]
        pid_file = project.target_root / "pid"
        with subprocess.Popen(argv, cwd=project.folder, stdout=subprocess.PIPE, start_new_session=True) as process:
            try:
                wait_for(pid_file.exists)
                process.send_signal(signal.SIGINT)
                stdout, _ = process.communicate(timeout=30)
            finally:
                if process.poll() is None:
                    process.kill()
        assert process.returncode == 130
        assert json.loads(stdout)["sweeps"][0]["targets"][0]["state"] == "interrupted"
        pid = int(pid_file.read_text())
        wait_for(lambda: not is_alive(pid))

    @pytest.mark.slow
    def test_in_a_folder_of_this_machine(
        self, hsm: RunHsm, copy_project: Callable[[Path], Path], tmp_path: Path, wandb: StandIn
    ) -> None:
        folder, root = copy_project(tmp_path / "source"), tmp_path / "nas"
        keep_some(folder)
        (folder / ".hsm").mkdir()
        steps = f"[{{wandb_sync: true, wandb_path: {wandb.path}}}, {{run: pwd >here}}]"
        (folder / ".hsm/sync_config.yaml").write_text(
            f"default_target: nas\nsync_targets:\n  nas:\n    after_sync: {steps}\n"
            f"    paths: {{project_root: {root}, sweeps: sweeps, wandb: wandb}}\n"
        )
        done = hsm("sync", "to", SWEEP, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (root / "here").read_text() == f"{root}\n"
        assert len(wandb.calls) == 3


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
