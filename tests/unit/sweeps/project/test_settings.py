"""Configuration of sweeps: its layers, its mistakes, and who may name programs."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from hsm.errors import ConfigError, NoConfigError
from hsm.sweeps.definition.load import parse_definition
from hsm.sweeps.project.interpreter import find_python
from hsm.sweeps.project.load import SITE_DEFAULTS, ProjectSettings, load_settings
from hsm.sweeps.project.schema import ProjectPaths
from hsm.sweeps.project.template import make_definition_template, make_settings_template

if TYPE_CHECKING:
    from tests.unit.conftest import MakeForeign


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".hsm").mkdir(parents=True)
    return tmp_path / "project"


def load(project: Path, text: str = "", *, site: str = "", user: str = "", is_trusted: bool = False) -> ProjectSettings:
    (project / ".hsm" / "config.yaml").write_text(dedent(text), encoding="utf-8")
    places = {}
    for name, content in (("site", site), ("user", user)):
        places[name] = project.parent / f"{name}.yaml"
        if content:
            places[name].write_text(content, encoding="utf-8")
    return load_settings(project, is_trusted=is_trusted, site=places["site"], user=places["user"])


def test_all_of_it_is_read(project: Path) -> None:
    found = load(
        project,
        """\
        project: {name: mine, root: /somewhere}
        paths: {python_interpreter: .venv/bin/python, train_script: ./train.py, config_dir: configs,
                output_dir: runs/outputs}
        wandb: {project: p, entity: e}
        slurm: {walltime: 04:00:00, cpus_per_task: 4, mem: 16G, gpus: 1, gpu_type: a100, partition: "gpu,short",
                qos: normal, account: acc, modules: [cuda/12.4], pre_script: "a\\nb", max_array_size: 1000}
        local: {parallel: 2, gpus: "0,2"}
        machines: {hpc: {path: ~/p, python: ~/p/.venv/bin/python, pre_script: x, slurm: {partition: big}}}
        """,
    )
    file = found.file
    assert file.paths.train_script == "train.py"
    assert file.slurm.walltime == "04:00:00"
    assert file.local.gpus == "0,2"
    assert file.machines["hpc"].path == "~/p"
    assert found.outputs == project / "runs/outputs"
    assert found.warnings == ()


def test_the_later_layer_counts(project: Path) -> None:
    found = load(
        project,
        "slurm: {partition: gpu, mem_per_cpu: 2G, env: {B: 2}}\n"
        "machines: {hpc: {pre_script: there, slurm: {partition: big}}}",
        site="slurm: {partition: all, account: site, mem: 8G, env: {A: 1, B: 1}}\nask_seconds: 60\nnotice: be nice",
        user="slurm: {account: me, throttle: 5}\nask_seconds: 10",
    )
    assert found.merge({}).dump() == {
        "partition": "gpu",
        "account": "me",
        "throttle": 5,
        "mem_per_cpu": "2G",
        "env": {"A": "1", "B": "2"},
    }
    assert found.merge({"partition": "mine"}, machine="hpc").partition == "mine"
    assert found.merge({}, machine="hpc").partition == "big"
    assert found.merge({}, machine="hpc").pre_script == "there"
    assert found.ask_seconds == 60
    assert found.notices == ("be nice",)


def test_a_user_cannot_ask_more_often_than_the_default(project: Path) -> None:
    assert load(project, user="ask_seconds: 1").ask_seconds == 30


def test_nothing_has_to_be_there(project: Path) -> None:
    found = load(project)
    assert found.outputs == project / "sweeps/outputs"
    assert found.merge({}).dump() == {}
    (project / ".hsm" / "config.yaml").unlink()
    (project / ".hsm" / "sync_config.yaml").touch()
    assert load_settings(project / ".hsm", user=project / "none").project == project


def test_a_project_is_found_from_below(project: Path) -> None:
    load(project)
    (project / "a" / "b").mkdir(parents=True)
    assert load_settings(project / "a" / "b", user=project / "none").project == project
    with pytest.raises(NoConfigError, match="No project found") as caught:
        load_settings(project.parent)
    assert "hsm sweep init" in caught.value.hint


def test_a_site_s_defaults_have_a_fixed_place() -> None:
    assert Path("/etc/hsm/config.yaml") == SITE_DEFAULTS


def test_every_mistake_is_told(project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            project,
            """\
            paths: {output_dir: results, train_scirpt: x}
            slurm:
              walltime: 48:00
              mem: 1.5G
              gpus: -1
              exclude: "node 1"
              constraint: "a b"
              partition: "a\\nb"
              env: {WANDB_API_KEY: x}
              extra: {array: 1-3}
            local: {gpus: some}
            machines: {"a b": {path: /x}}
            """,
        )
    lines = [line.split(":")[0].split()[-1] for line in caught.value.message.splitlines()[1:]]
    assert sorted(lines) == sorted(
        [
            "paths.output_dir",
            "paths.train_scirpt",
            "slurm.walltime",
            "slurm.mem",
            "slurm.gpus",
            "slurm.exclude",
            "slurm.constraint",
            "slurm.partition",
            "slurm.env",
            "slurm.extra",
            "local.gpus",
            "machines",
        ]
    )
    assert "did you mean train_script?" in caught.value.message
    assert caught.value.message.startswith(".hsm/config.yaml has 12 problems")


def test_a_mistake_in_a_default_names_its_file(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"site\.yaml has 1 problem"):
        load(project, site="slurm: {walltme: 1}")


PROGRAMS = """\
paths: {python_interpreter: /tmp/x, conda_env: e, train_script: t.py, output_dir: my/outputs}
slurm: {modules: [m], pre_script: p, env: {PATH: x}, extra: {mail-type: END}, partition: gpu}
machines: {hpc: {python: /x, pre_script: p, path: /there, slurm: {modules: [m], partition: big}}}
"""


def test_programs_count_in_a_file_of_one_s_own(project: Path) -> None:
    assert load(project, PROGRAMS).warnings == ()


@pytest.mark.parametrize("place", [".hsm", ".hsm/config.yaml"])
def test_programs_do_not_count_where_everybody_may_write(project: Path, place: str) -> None:
    load(project, PROGRAMS)
    (project / place).chmod(0o777)
    found = load(project, PROGRAMS)
    check_dropped(found)
    assert f"chmod o-w {project / place}" in found.warnings[0]
    trusted = load(project, PROGRAMS, is_trusted=True)
    assert (trusted.file.paths.train_script, trusted.warnings) == ("t.py", ())


def test_programs_do_not_count_in_the_file_of_another_user(project: Path, make_foreign: MakeForeign) -> None:
    load(project, PROGRAMS)
    make_foreign(project / ".hsm" / "config.yaml")
    check_dropped(load_settings(project, user=project / "none"))


def check_dropped(found: ProjectSettings) -> None:
    paths, machine = found.file.paths, found.file.machines["hpc"]
    assert (paths.python_interpreter, paths.conda_env, paths.train_script) == (None, None, None)
    assert paths.output_dir == "my/outputs"
    assert found.file.slurm.dump() == {"partition": "gpu"}
    assert (machine.python, machine.pre_script, machine.path) == (None, None, "/there")
    assert machine.slurm.dump() == {"partition": "big"}
    (warning,) = found.warnings
    for key in (
        "paths.train_script",
        "slurm.pre_script",
        "slurm.env",
        "machines.hpc.python",
        "machines.hpc.slurm.modules",
    ):
        assert key in warning
    assert "--trust" in warning


def test_what_names_no_program_needs_no_trust(project: Path) -> None:
    load(project)
    (project / ".hsm").chmod(0o777)
    found = load(project, "slurm: {partition: gpu}")
    assert (found.file.slurm.partition, found.warnings) == ("gpu", ())


# -- the interpreter ----------------------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_python_is_the_first_of_path(programs: Path, project: Path) -> None:
    with pytest.raises(ConfigError, match="There is no python") as caught:
        find_python(ProjectPaths(), project)
    assert "paths.python_interpreter" in caught.value.hint
    make_program(programs / "python3")
    assert find_python(ProjectPaths(), project) == str(programs / "python3")
    make_program(programs / "python")
    assert find_python(ProjectPaths(), project) == str(programs / "python")


def test_python_is_where_the_configuration_says(programs: Path, project: Path) -> None:
    found = make_program(project / ".venv/bin/python-real")
    (project / ".venv/bin/python").symlink_to("python-real")
    assert found.exists()
    paths = ProjectPaths(python_interpreter=".venv/bin/python")
    assert find_python(paths, project) == str(project / ".venv/bin/python")
    make_program(programs / "pypy")
    assert find_python(ProjectPaths(python_interpreter="pypy"), project) == str(programs / "pypy")
    with pytest.raises(ConfigError, match=r"paths.python_interpreter no/python"):
        find_python(ProjectPaths(python_interpreter="no/python"), project)


@pytest.mark.usefixtures("programs")
def test_python_is_that_of_a_conda_environment(project: Path, tmp_path: Path) -> None:
    python = make_program(tmp_path / "envs" / "mine" / "bin" / "python")
    record = Path.home() / ".conda" / "environments.txt"
    record.parent.mkdir()
    record.write_text(f"/opt/conda\n{tmp_path}/envs/mine\n", encoding="utf-8")
    assert find_python(ProjectPaths(conda_env="mine"), project) == str(python)
    assert find_python(ProjectPaths(conda_env=str(tmp_path / "envs/mine")), project) == str(python)
    with pytest.raises(ConfigError, match="There is no conda environment other"):
        find_python(ProjectPaths(conda_env="other"), project)


# -- the files of `hsm sweep init` --------------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [[], ["train.py"], ["train.py", "b/train 2.py"], ["null.py", 'a"b.py']])
@pytest.mark.parametrize("name", ["project", "it's: {a}", "ü", "null"])
def test_the_files_of_init_load(project: Path, scripts: list[str], name: str) -> None:
    found = load(project, make_settings_template(name, scripts))
    assert found.file.project.name == name
    assert found.file.paths.train_script == (scripts[0] if len(scripts) == 1 else None)
    text = make_definition_template(scripts)
    assert len(parse_definition(text, "s.yaml").tasks) == 6


def test_what_the_files_of_init_show_loads_too(project: Path) -> None:
    """What stands behind a # is what the file takes."""
    lines = make_settings_template("project", ["train.py"]).splitlines()
    shown = [re.sub(r"^( *)# ", r"\1", line) for line in lines[3:]]
    found = load(project, "\n".join(shown))
    assert found.file.slurm.pre_script == "source .venv/bin/activate\n"
    assert found.file.machines["cluster"].slurm.partition == "gpu"
    lines = make_definition_template([]).splitlines()
    shown = [re.sub(r"^( *)# ", r"\1", line) for line in lines[2:]]
    tasks = parse_definition("\n".join(shown), "s.yaml").tasks
    assert len(tasks) == 1 + 20 * 2 * (2 * 3 - 2)
