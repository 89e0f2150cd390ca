"""The interface for Python: what the documentation shows, and that it does what the program does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from hsm import HsmError, load_config, sync_from, sync_to
from hsm.call_options import PullOptions, PushOptions, iter_forms
from hsm.cli.main import app
from hsm.errors import ExitCode
from hsm.progress import Event, TargetEnded
from tests.e2e.synthetic import write_project, write_sweep_folder
from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.conftest import RunHsm

SWEEP = "sweep_20251020_212836"
PAGE = (Path(__file__).parents[2] / "docs" / "API.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CONFIG = """\
default_target: desktop
sync_targets:
  desktop: {paths: {sweeps: DESKTOP/sweeps, wandb: DESKTOP/wandb}}
  hpc: {paths: {sweeps: HPC/sweeps, wandb: HPC/wandb}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with a folder to send to and one to bring from, as the working folder."""
    folder = tmp_path / "project"
    write_project(folder)
    write_project(tmp_path / "hpc", sweep="sweep_20251105_070000")
    config = folder / ".hsm" / "sync_config.yaml"
    config.parent.mkdir()
    text = CONFIG.replace("DESKTOP", str(tmp_path / "desktop")).replace("HPC", str(tmp_path / "hpc"))
    config.write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def run_example(code: str, folder: Path) -> str:
    """Run an example as a program of its own, and return what it prints."""
    argv = [sys.executable, "-W", "error", "-c", code]
    completed = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr == ""
    return completed.stdout


def test_the_example_that_sends_does(project: Path, tmp_path: Path) -> None:
    said = run_example(EXAMPLES[0], project).splitlines()
    assert said[0] == f"{SWEEP} to desktop: done"
    assert "'sent': 10" in said[1]
    assert len(list((tmp_path / "desktop/wandb").glob("run-*"))) == 3


def test_the_example_that_brings_does(project: Path) -> None:
    assert len(EXAMPLES) == 2
    assert run_example(EXAMPLES[1], project) == "0\n"
    assert (project / "sweeps/outputs/sweep_20251105_070000/sweep_config.yaml").is_file()


def strip(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from call to call."""
    for sweep in document["sweeps"]:
        for target in sweep["targets"]:
            target.pop("seconds")
    return document


def test_the_report_is_what_json_prints(project: Path, hsm: RunHsm) -> None:
    printed = hsm("sync", "to", "latest", "--dry-run", "--json", "--newest", "1", cwd=project)
    report = sync_to(load_config(), "latest", dry_run=True, newest=1)
    assert strip(json.loads(json.dumps(report.make_document(with_plan=True)))) == strip(json.loads(printed.stdout))
    assert '"plan": [' not in json.dumps(report.make_document())


ERRORS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("nope",), {}),
    (("../x",), {}),
    (("latest", "-t", "lab"), {"target": "lab"}),
    (("latest", "--since", "2"), {"since": "2"}),
    (("latest", "--runs", "dead"), {"runs": "dead"}),
    (("latest", "--newest", "0"), {"newest": 0}),
    (("latest", "--allow", "x"), {"allow": ["x"]}),
    (("latest", "--set", "options.x=1"), {"set": "options.x=1"}),
    (("latest", "--sweep-only", "--wandb-only"), {"sweep_only": True, "wandb_only": True}),
]


@parametrize(("words", "options"), ERRORS, quick=[ERRORS[0], ERRORS[3]], ids=" ".join)
def test_errors_are_those_of_the_program(
    words: tuple[str, ...], options: dict[str, Any], project: Path, hsm: RunHsm
) -> None:
    printed = json.loads(hsm("sync", "to", *words, "--json", cwd=project).stdout)
    with pytest.raises(HsmError) as caught:
        sync_to(load_config(project), words[0], **options)
    error = caught.value
    assert {"kind": error.kind, "message": error.message, "hint": error.hint} == printed["error"]
    assert int(error.exit_code) == printed["exit_code"] == 2


@pytest.mark.usefixtures("project")
def test_a_sweep_that_no_target_has_is_an_error_of_a_pull() -> None:
    with pytest.raises(HsmError, match="Unknown sweep 'nope'"):
        sync_from(load_config(), "nope", target="hpc")


@pytest.mark.usefixtures("project")
def test_no_sweep_and_no_such_option() -> None:
    with pytest.raises(HsmError, match="No sweep was named"):
        sync_to(load_config(), [])
    with pytest.raises(TypeError, match="unexpected options: dryrun"):
        sync_to(load_config(), "latest", dryrun=True)  # type: ignore[call-arg]


def test_every_sweep_and_single_runs_need_no_word(project: Path) -> None:
    report = sync_to(load_config(project), all=True, dry_run=True)
    assert SWEEP in [sweep.sweep for sweep in report.sweeps]
    run = next((project / "wandb").glob("*run-*")).name
    report = sync_to(load_config(project), run=run, dry_run=True)
    assert [sweep.sweep for sweep in report.sweeps] == [SWEEP]
    with pytest.raises(HsmError, match="--all means every sweep"):
        sync_to(load_config(project), SWEEP, all=True)


def test_a_target_that_fails_stands_in_the_report(project: Path, tmp_path: Path) -> None:
    (tmp_path / "desktop").write_text("no folder")
    report = sync_to(load_config(project), "latest", target=["desktop", "hpc"])
    (sweep,) = report.sweeps
    assert [target.exit_code for target in sweep.targets] == [ExitCode.REFUSED, ExitCode.DONE]
    assert report.exit_code is ExitCode.PARTIAL


class Listener:
    """Notes the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lock = threading.Lock()

    def report(self, event: Event) -> None:
        """Take one."""
        with self.lock:
            self.events.append(event)


def test_other_folders_several_sweeps_and_somebody_who_is_told(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_sweep_folder(project, "sweep_20251021_090000")
    listener = Listener()
    other = {"to_sweeps": str(tmp_path / "other/sweeps"), "to_wandb": str(tmp_path / "other/wandb")}
    report = sync_to(
        load_config(project), [SWEEP, "latest"], set=["options.parallel_transfers=2"], reporter=listener, **other
    )
    assert [sweep.sweep for sweep in report.sweeps] == [SWEEP, "sweep_20251021_090000"]
    assert len(list((tmp_path / "other/sweeps/outputs").iterdir())) == 2
    assert [event.state for event in listener.events if isinstance(event, TargetEnded)] == ["done", "done"]
    assert capfd.readouterr() == ("", "")


OWN_OF_THE_PROGRAM = {"json", "verbose", "quiet", "help"}
"""They are about what is printed."""
OF_FOLLOWING = {"continuous", "interval", "expect", "settle", "stale"}


@pytest.mark.parametrize("name", ["to", "from"])
def test_options_are_named_as_those_of_the_program(name: str) -> None:
    command = typer.main.get_command(app).commands["sync"].commands[name]  # type: ignore[attr-defined]
    names = {
        option.lstrip("-").replace("-", "_")
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    own = {name for name, _, _ in iter_forms(PushOptions if name == "to" else PullOptions)}
    assert names - OWN_OF_THE_PROGRAM - OF_FOLLOWING == own
    documented = {
        span for cells in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for span in re.findall(r"`(\w+)`", cells)
    }
    assert documented - {"reporter"} >= own


def test_importing_hsm_loads_nothing_else(project: Path) -> None:
    code = "import sys, hsm; print([name for name in sys.modules if name.startswith(('hsm.', 'pydantic', 'yaml'))])"
    assert run_example(code, project) == "['hsm._version']\n"
    assert run_example("import hsm; hsm.nothing if hasattr(hsm, 'nothing') else print('no')", project) == "no\n"
