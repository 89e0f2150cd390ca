"""Drafts of sweeps, and the folders that are made of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.discover.combinations import parse_combinations
from hsm.errors import ConfigError, TargetError, UsageError
from hsm.prepared_sweep.document import ArgumentStyle, SweepMode, load_prepared
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.prepared_sweep.records import decode_index_line, decode_record
from hsm.process.runner import Runner
from hsm.sweeps import extend as extend_module
from hsm.sweeps import prepare as prepare_module
from hsm.sweeps.definition.load import load_definition
from hsm.sweeps.draft import SweepDraft, SweepRequest, check_most, list_scripts, make_draft
from hsm.sweeps.extend import extend_sweep, list_new_tasks
from hsm.sweeps.listing import list_prepared
from hsm.sweeps.names import check_new_name, make_sweep_name
from hsm.sweeps.prepare import prepare_sweep
from hsm.sweeps.project.load import load_settings
from tests.unit.sweeps.git_project import make_repository, write_files

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 30, 4, 5, 6, tzinfo=timezone.utc)
DEFINITION = """\
script: train.py
sweep: {grid: {lr: [1e-3, 3e-4], name: [it's]}, fixed: {epochs: 10}}
metadata: {description: a word, tags: [a]}
resources: {mem_per_cpu: 2G, walltime: 01:00:00, extra: {mail-type: END}}
resume: {times: 3}
"""
SETTINGS = "slurm: {mem: 8G, partition: gpu}\nwandb: {project: p, entity: e}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    write_files(project, {".hsm/config.yaml": SETTINGS, "train.py": "pass\n", "s.yaml": DEFINITION})
    return project


def draft(project: Path, name: str = "sweep_1", *, dry_run: bool = False, **asked: Any) -> SweepDraft:
    definition = load_definition(project / "s.yaml", "s.yaml")
    settings = load_settings(project, user=project / "none")
    return make_draft(SweepRequest(definition, settings, name, **asked), Runner(), dry_run=dry_run)


def prepare(project: Path, name: str = "sweep_1", **asked: Any) -> PreparedFolder:
    return prepare_sweep(draft(project, name, **asked), NOW)


def list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_prepared_folder_has_all_of_it(project: Path) -> None:
    folder = prepare(project, mode=SweepMode.ARRAY)
    assert folder.folder == project / "sweeps/outputs/sweep_1"
    assert list_files(folder.folder) == [
        ".hsm-sweep",
        ".hsm-sweep/index",
        ".hsm-sweep/sweep.json",
        ".hsm-sweep/tasks-1",
        "logs",
        "parameter_combinations.json",
        "scripts",
        "submission_summary.txt",
        "sweep_config.yaml",
        "tasks",
    ]
    assert folder.definition.read_text("utf-8") == DEFINITION
    combinations = json.loads(folder.combinations.read_text("utf-8"))
    assert combinations == [
        {"lr": 0.001, "name": "it's", "epochs": 10},
        {"lr": 0.0003, "name": "it's", "epochs": 10},
    ]
    assert parse_combinations(folder.combinations.read_bytes()) == 2
    assert stat.S_IMODE(folder.document.stat().st_mode) == 0o600
    assert list_files(project / "sweeps/outputs") == sorted(
        ["sweep_1", *(f"sweep_1/{name}" for name in list_files(folder.folder))]
    )


def test_the_document_says_what_an_executor_needs(project: Path) -> None:
    found = load_prepared(prepare(project, mode=SweepMode.ARRAY))
    assert found.sweep == "sweep_1"
    assert re.fullmatch("[0-9a-f]{16}", found.key)
    assert found.created == "2026-11-30T04:05:06Z"
    assert (found.n_tasks, found.mode, found.arguments) == (2, SweepMode.ARRAY, ArgumentStyle.HYDRA)
    assert (found.script, found.command, found.code.hash) == ("train.py", ("{python}", "{script}"), "")
    assert found.python.startswith("/")
    assert found.environment == {"WANDB_PROJECT": "p", "WANDB_ENTITY": "e"}
    # Without the defaults: another machine has others.
    assert found.resources == {"mem_per_cpu": "2G", "walltime": "01:00:00", "extra": {"mail-type": "END"}}
    assert found.resume is not None
    assert (found.resume.signal_seconds, found.resume.times) == (120, 3)
    assert found.metadata == {"description": "a word", "tags": ["a"]}


def test_every_task_has_its_record(project: Path) -> None:
    found = draft(project)
    folder = prepare_sweep(found, NOW)
    index, records = folder.index.read_bytes(), folder.records(1).read_bytes()
    for number, task in enumerate(found.tasks, 1):
        part, offset, length = decode_index_line(index, number)
        assert part == 1
        assert decode_record(records[offset : offset + length]) == found.make_form("sweep_1").make_record(task)
    assert len(records) == offset + length


def test_two_sweeps_of_one_name_get_two(project: Path) -> None:
    (project / "wandb/sweep_1_2").mkdir(parents=True)
    (project / "outputs/sweep_1_3").mkdir(parents=True)
    (project / "sweeps/outputs").mkdir(parents=True)
    (project / "sweeps/outputs/sweep_1_4").symlink_to("nowhere")
    names = [prepare(project).folder.name for _ in range(3)]
    assert names == ["sweep_1", "sweep_1_5", "sweep_1_6"]
    words = (project / "sweeps/outputs/sweep_1_5/.hsm-sweep/tasks-1").read_bytes().split(b"\0")
    assert b"Lwandb.group='sweep_1_5'" in words


def test_what_fails_leaves_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "sweep.json")

    monkeypatch.setattr(prepare_module, "save_prepared", fail)
    with pytest.raises(TargetError, match="No space left") as caught:
        prepare(project)
    assert caught.value.hint
    assert list_files(project / "sweeps/outputs") == []


def test_a_snapshot_goes_with_a_sweep(project: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    make_repository(project, {".gitignore": "/sweeps/outputs/\n"})
    write_files(project, {"train.py": "changed\n"})
    folder = prepare(project)
    found = load_prepared(folder)
    assert (project / ".hsm/code" / found.code.hash / "train.py").read_text("utf-8") == "changed\n"
    assert found.code.is_changed
    assert found.code.commit in folder.code.read_text("utf-8")
    assert "+changed" in folder.code_changes.read_text("utf-8")
    command = folder.summary.read_text("utf-8").splitlines()[-1]
    assert f"{project}/.hsm/code/{found.code.hash}/train.py lr=0.001" in command


def test_a_dry_run_writes_nothing(project: Path) -> None:
    before = list_files(project)
    found = draft(project, dry_run=True)
    assert list_files(project) == before
    assert len(found.tasks) == 2


def test_ten_thousand_tasks_are_few_files(project: Path) -> None:
    numbers = ", ".join(map(str, range(100)))
    write_files(project, {"s.yaml": f"script: train.py\nsweep: {{grid: {{a: [{numbers}], b: [{numbers}]}}}}\n"})
    folder = prepare(project)
    assert load_prepared(folder).n_tasks == 10_000
    assert len(list_files(folder.folder)) <= 30


def test_only_the_first_tasks(project: Path) -> None:
    assert load_prepared(prepare(project, most_tasks=1)).n_tasks == 1
    assert load_prepared(prepare(project, "other", most_tasks=9)).n_tasks == 2
    assert (check_most(None), check_most(3)) == (0, 3)
    with pytest.raises(UsageError):
        check_most(0)


def test_the_command_line_counts_over_the_definition(project: Path) -> None:
    found = draft(project, asked={"mem": "4G", "extra": {"reservation": "x"}})
    assert found.asked == {
        "walltime": "01:00:00",
        "mem": "4G",
        "extra": {"mail-type": "END", "reservation": "x"},
    }
    assert found.resources.dump() == {**found.asked, "partition": "gpu"}


def test_resources_that_contradict_one_another_are_an_error(project: Path) -> None:
    write_files(project, {".hsm/config.yaml": "slurm: {gpus: 1, gpu_type: a100, tasks_at_once: 4}\n"})
    write_files(project, {"s.yaml": DEFINITION.replace("mem_per_cpu: 2G", "tasks_per_job: 2")})
    with pytest.raises(ConfigError, match="more tasks_at_once than tasks_per_job"):
        draft(project)


# -- the script ---------------------------------------------------------------------------------------------------


def test_the_script_may_be_the_project_s(project: Path) -> None:
    write_files(project, {"s.yaml": "sweep: {grid: {a: [1]}}", ".hsm/config.yaml": "paths: {train_script: train.py}"})
    assert draft(project).script == "train.py"
    write_files(project, {"other.py": "", "s.yaml": "script: other.py\nsweep: {grid: {a: [1]}}"})
    assert draft(project).script == "other.py"


def test_several_scripts_are_named_and_none_is_picked(project: Path) -> None:
    write_files(
        project, {"s.yaml": "sweep: {grid: {a: [1]}}", "src/train_b.py": "", ".venv/train_c.py": "", "trainer/x": ""}
    )
    with pytest.raises(ConfigError, match=r"there are train\.py, src/train_b\.py") as caught:
        draft(project)
    assert caught.value.hint == "Write `script: train.py` into s.yaml."
    assert list_scripts(project) == ["train.py", "src/train_b.py"]


def test_a_command_may_need_no_script(project: Path) -> None:
    write_files(project, {"s.yaml": "command: [./run.sh]\nsweep: {grid: {a: [1]}}"})
    assert draft(project).script == ""


@pytest.mark.parametrize("script", ["no.py", "src"])
def test_a_script_that_is_missing_is_an_error(project: Path, script: str) -> None:
    write_files(project, {"s.yaml": f"script: {script}\nsweep: {{grid: {{a: [1]}}}}", "src/x": ""})
    with pytest.raises(ConfigError, match=f"There is no script {project}/{script}"):
        draft(project)


def test_a_project_with_a_quote_in_its_path_is_refused(project: Path) -> None:
    moved = project.rename(project.parent / "it's")
    with pytest.raises(UsageError, match='holds "\'"'):
        draft(moved)


# -- names and the list -------------------------------------------------------------------------------------------


def test_a_name_is_the_time_in_utc() -> None:
    assert make_sweep_name(NOW) == "sweep_20261130_040506"


@pytest.mark.parametrize("name", ["lr", "_x", "a.b-c", "0", "x" * 100])
def test_a_plain_name_is_taken(name: str) -> None:
    assert check_new_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "-x", "a b", "a..b", "ü", "x" * 101, "latest", "Loose", "wandb", "a\n"]
)
def test_a_name_that_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_new_name(name)


def test_the_list_has_what_was_prepared(project: Path) -> None:
    outputs = project / "sweeps/outputs"
    assert list_prepared(outputs) == []
    folder = prepare(project, "b")
    prepare(project, "a").state.write_text("{}", encoding="utf-8")
    (outputs / "by_hand").mkdir()
    (outputs / "broken/.hsm-sweep").mkdir(parents=True)
    (outputs / "broken/.hsm-sweep/sweep.json").write_text("{", encoding="utf-8")
    found = list_prepared(outputs)
    assert [(sweep.name, sweep.is_submitted, bool(sweep.problem)) for sweep in found] == [
        ("broken", False, True),
        ("a", True, False),
        ("b", False, False),
    ]
    assert found[2].prepared == load_prepared(folder)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: data.pop("n_tasks"), TargetError),
        (lambda data: data.update(n_tasks=-1), TargetError),
        (lambda data: data.update(n_tasks=True), TargetError),
        (lambda data: data.update(mode="other"), TargetError),
        (lambda data: data.update(command="x"), TargetError),
        (lambda data: data.update(code=[]), TargetError),
        (lambda data: data.update(schema=99), TargetError),
    ],
)
def test_a_damaged_document_is_an_error(project: Path, change: Callable[[Any], object], error: type) -> None:
    folder = prepare(project)
    data = json.loads(folder.document.read_bytes())
    change(data)
    folder.document.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(error) as caught:
        load_prepared(folder)
    assert caught.value.kind == "bad_prepared_sweep"  # type: ignore[attr-defined]


def test_a_folder_of_another_s_is_no_prepared_sweep(project: Path) -> None:
    with pytest.raises(UsageError, match="was not prepared by `hsm sweep`") as caught:
        load_prepared(PreparedFolder(project))
    assert caught.value.kind == "not_prepared"


def test_names_of_tasks_folders_are_as_they_always_were(project: Path) -> None:
    folder = PreparedFolder(project)
    names = [folder.task_info(3), folder.command(3), folder.parameters(3)]
    assert [os.fspath(path.relative_to(project)) for path in names] == [
        "tasks/task_3/task_info.txt",
        "tasks/task_3/command.txt",
        "tasks/task_3/parameters.json",
    ]


# -- further tasks ------------------------------------------------------------------------------------------------


def read_names(folder: PreparedFolder) -> list[tuple[int, str]]:
    """The file and the first argument of each task's record."""
    index = folder.index.read_bytes()
    found = []
    for number in range(1, load_prepared(folder).n_tasks + 1):
        part, offset, length = decode_index_line(index, number)
        record = decode_record(folder.records(part).read_bytes()[offset : offset + length])
        found.append((part, str(record.command[2][0])))
    return found


def extend(project: Path, folder: PreparedFolder, values: str) -> int:
    write_files(project, {"s.yaml": DEFINITION.replace("1e-3, 3e-4", values)})
    return extend_sweep(folder, draft(project, dry_run=True))


def test_a_sweep_is_extended_by_what_it_does_not_have(project: Path) -> None:
    folder = prepare(project)
    former, records = load_prepared(folder), folder.records(1).read_bytes()
    assert extend(project, folder, "3e-4, 5, 1e-3, 6") == 2
    assert read_names(folder) == [(1, "lr=0.001"), (1, "lr=0.0003"), (2, "lr=5"), (2, "lr=6")]
    assert folder.records(1).read_bytes() == records
    assert [task["lr"] for task in json.loads(folder.combinations.read_bytes())] == [0.001, 0.0003, 5, 6]
    assert folder.definition.read_text("utf-8") == DEFINITION
    assert "5, 1e-3, 6" in folder.further_definition(2).read_text("utf-8")
    assert load_prepared(folder) == replace(former, n_tasks=4)
    assert extend(project, folder, "7") == 1
    assert read_names(folder)[-1] == (3, "lr=7")
    assert extend(project, folder, "7, 5") == 0
    assert not folder.lock.exists()


def test_new_tasks_are_shown_before(project: Path) -> None:
    folder = prepare(project)
    write_files(project, {"s.yaml": DEFINITION.replace("1e-3, 3e-4", "1e-3, 5")})
    first, tasks = list_new_tasks(folder, draft(project, dry_run=True))
    assert (first, [task["lr"] for task in tasks]) == (3, [5])
    assert load_prepared(folder).n_tasks == 2


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_an_extension_that_is_killed_is_done_anew(project: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    folder = prepare(project)
    before = read_names(folder)
    real, steps = extend_module._replace, iter(range(1, 9))

    def die(*arguments: Any) -> None:
        if next(steps) == step:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(extend_module, "_replace", die)
    monkeypatch.setattr(extend_module, "save_prepared", die)
    with pytest.raises(KeyboardInterrupt):
        extend(project, folder, "8, 9")
    monkeypatch.undo()
    assert read_names(folder) == before
    assert extend(project, folder, "5.125") == 1
    assert read_names(folder) == [*before, (2, "lr=5.125")]
    assert len(json.loads(folder.combinations.read_bytes())) == 3


@pytest.mark.parametrize(
    ("former", "now", "problem"),
    [
        ("script: train.py", "script: other.py", "another script"),
        ("script:", "arguments: json\nscript:", "another arguments"),
        ("script:", "command: [srun, '{script}']\nscript:", "another command"),
    ],
)
def test_tasks_that_are_started_in_another_way_are_another_sweep(
    project: Path, former: str, now: str, problem: str
) -> None:
    folder = prepare(project)
    write_files(project, {"s.yaml": DEFINITION.replace(former, now), "other.py": ""})
    with pytest.raises(UsageError, match=problem):
        extend_sweep(folder, draft(project, dry_run=True))
