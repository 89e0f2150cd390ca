"""Which configurations may decide how ssh runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.config.trust import apply_trust, check_trust
from hsm.errors import ConfigError
from tests.unit.conftest import MakeForeign

TEXT = """\
sync_targets:
  plain:
    host: h
    paths: {sweeps: ~/s, wandb: ~/w}
  desktop:
    host: h
    paths: {sweeps: ~/s, wandb: ~/w}
    ssh: {identity_file: ~/.ssh/id, options: {Compression: "yes"}}
"""
PLAIN = "sync_targets: {plain: {host: h, paths: {sweeps: ~/s, wandb: ~/w}}}\n"

PATHS = ("project_root", "sweeps", "wandb")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project that is the user's own."""
    folder = tmp_path / "project"
    (folder / ".hsm").mkdir(parents=True)
    (folder / ".hsm/sync_config.yaml").write_text(TEXT)
    for path, mode in ((folder, 0o755), (folder / ".hsm", 0o755), (folder / ".hsm/sync_config.yaml", 0o644)):
        path.chmod(mode)
    return folder


def load(project: Path, text: str | None = None) -> LoadedConfig:
    if text is not None:
        (project / ".hsm/sync_config.yaml").write_text(text)
    return load_project_config(project)


class TestApply:
    @pytest.mark.parametrize("mode", [0o755, 0o700, 0o775, 0o2775])
    def test_the_users_own_configuration_counts(self, project: Path, mode: int) -> None:
        (project / ".hsm").chmod(mode)
        (project / ".hsm/sync_config.yaml").chmod(mode & 0o666)
        loaded = load(project)
        assert apply_trust(loaded, is_trusted=False) == (loaded, ())

    @pytest.mark.parametrize("name", [".hsm", ".hsm/sync_config.yaml"])
    @pytest.mark.parametrize("harm", ["foreign", "world-writable"])
    def test_what_others_can_write_does_not_count(
        self, project: Path, name: str, harm: str, make_foreign: MakeForeign
    ) -> None:
        if harm == "foreign":
            make_foreign(project / name)
        else:
            (project / name).chmod(0o777)
        loaded = load(project)
        applied, (warning,) = apply_trust(loaded, is_trusted=False)
        assert applied.config.sync_targets["desktop"] == loaded.config.sync_targets["plain"]
        assert (applied.path, applied.project) == (loaded.path, loaded.project)
        assert loaded.config.sync_targets["desktop"].ssh.options == {"Compression": "yes"}, "the loaded one stays"
        expected = "not to you" if harm == "foreign" else "Everybody"
        assert expected in warning
        assert str(project / name) in warning or harm == "foreign"
        assert "ssh settings of desktop are ignored; `--trust`" in warning
        assert (f"`chmod o-w {project / name}`" in warning) is (harm != "foreign")

    def test_what_others_can_write_chooses_no_program_at_the_target(self, project: Path) -> None:
        target = "{host: h, paths: {sweeps: ~/s, wandb: ~/w}, rsync_path: /tmp/evil}"
        loaded = load(project, f"sync_targets: {{desktop: {target}}}\n")
        assert apply_trust(loaded, is_trusted=False) == (loaded, ())
        (project / ".hsm").chmod(0o777)
        applied, (warning,) = apply_trust(loaded, is_trusted=False)
        assert applied.config.sync_targets["desktop"].rsync_path is None
        assert applied.layers.choose("desktop", "sweep_1").keys() == {
            ("host",),
            ("paths", "sweeps"),
            ("paths", "wandb"),
        }
        assert "so the values of rsync_path of desktop are ignored" in warning
        assert apply_trust(loaded, is_trusted=True) == (loaded, ())

    def test_the_users_own_environment_chooses_one(self, project: Path) -> None:
        (project / ".hsm").chmod(0o777)
        environment = {"HSM_SYNC__DESKTOP__RSYNC_PATH": "/opt/rsync"}
        applied, _ = apply_trust(load_project_config(project, environment=environment), is_trusted=False)
        assert applied.config.sync_targets["desktop"].rsync_path == "/opt/rsync"

    def test_what_others_can_write_runs_no_commands_after_a_sync(self, project: Path) -> None:
        staging = "options: {sync_artifact_staging: true}"
        steps = f"after_sync: [{{wandb_sync: true}}, {{run: make}}], {staging}"
        paths = "paths: {project_root: /p, sweeps: sweeps, wandb: wandb}"
        text = f"sync_targets: {{nas: {{{paths}, {steps}}}, other: {{host: h, {paths}, ssh: {{client: openssh}}}}}}\n"
        text += f"sweeps: {{sweep_1: {{targets: {{nas: {{{staging}}}}}}}}}\n"
        loaded = load(project, text)
        assert apply_trust(loaded, is_trusted=False) == (loaded, ())
        (project / ".hsm").chmod(0o777)
        applied, (warning,) = apply_trust(loaded, is_trusted=False)
        assert applied.config.sync_targets["nas"].after_sync == ()
        assert applied.layers.choose("nas", "sweep_1").keys() == {("paths", name) for name in PATHS}
        assert "so the ssh settings of other and the steps after_sync of nas are ignored" in warning
        assert apply_trust(loaded, is_trusted=True) == (loaded, ())

    def test_a_configuration_that_leads_to_somebody_elses(
        self, project: Path, tmp_path: Path, make_foreign: MakeForeign
    ) -> None:
        shared = tmp_path / "shared.yaml"
        shared.write_text(TEXT)
        path = project / ".hsm/sync_config.yaml"
        path.unlink()
        path.symlink_to(shared)
        loaded = load_project_config(project)
        assert apply_trust(loaded, is_trusted=False) == (loaded, ())
        (project / ".hsm").chmod(0o777)
        assert len(apply_trust(loaded, is_trusted=False)[1]) == 1
        (project / ".hsm").chmod(0o755)
        make_foreign(shared)
        assert len(apply_trust(loaded, is_trusted=False)[1]) == 1

    def test_a_symlink_of_somebody_else_to_the_users_own(
        self, project: Path, tmp_path: Path, make_foreign: MakeForeign
    ) -> None:
        path = project / ".hsm/sync_config.yaml"
        path.rename(tmp_path / "own.yaml")
        path.symlink_to(tmp_path / "own.yaml")
        make_foreign(path)
        assert len(apply_trust(load_project_config(project), is_trusted=False)[1]) == 1

    def test_a_configuration_in_an_open_folder_behind_a_symlink(self, project: Path, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        path = project / ".hsm/sync_config.yaml"
        path.rename(tmp_path / "open/c.yaml")
        path.symlink_to(tmp_path / "open/c.yaml")
        assert len(apply_trust(load_project_config(project), is_trusted=False)[1]) == 1

    def test_the_user_may_trust_it(self, project: Path) -> None:
        (project / ".hsm").chmod(0o777)
        loaded = load(project)
        assert apply_trust(loaded, is_trusted=True) == (loaded, ())

    def test_no_warning_where_nothing_is_left_out(self, project: Path) -> None:
        (project / ".hsm").chmod(0o777)
        loaded = load(project, PLAIN)
        assert apply_trust(loaded, is_trusted=False) == (loaded, ())

    def test_what_vanished_meanwhile_does_not_count(self, project: Path) -> None:
        loaded = load(project)
        loaded.path.unlink()
        assert len(apply_trust(loaded, is_trusted=False)[1]) == 1


def make_ssh_config(path: Path, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    path.write_text("Host *\n")
    path.chmod(mode)
    return path


def check(project: Path, *configs: str | Path) -> ConfigError | None:
    targets = "".join(
        f"  t{number}: {{host: h, paths: {{sweeps: ~/s, wandb: ~/w}}, ssh: {{config: {config}}}}}\n"
        for number, config in enumerate(configs)
    )
    loaded = load(project, f"sync_targets:\n{targets}")
    try:
        check_trust(loaded, loaded.config.sync_targets)
    except ConfigError as error:
        caught = error
    else:
        return None
    assert caught.kind == "bad_ssh_config"
    assert caught.hint
    return caught


class TestSshConfig:
    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o444])
    def test_a_file_of_the_users_own_is_taken(self, project: Path, tmp_path: Path, mode: int) -> None:
        assert check(project, make_ssh_config(tmp_path / "own/config", mode)) is None

    def test_a_file_in_the_home_folder_is_taken(self, project: Path) -> None:
        make_ssh_config(Path.home() / ".ssh/hpc")
        assert check(project, "~/.ssh/hpc") is None

    def test_targets_without_one_are_not_looked_at(self, project: Path) -> None:
        loaded = load(project)
        check_trust(loaded, loaded.config.sync_targets)

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o664, 0o666])
    def test_others_may_write_to_the_file(self, project: Path, tmp_path: Path, mode: int) -> None:
        path = make_ssh_config(tmp_path / "own/config", mode)
        error = check(project, path)
        assert error is not None
        assert f"t0: ssh.config {path} is not yours alone: others may write to {path}" in error.message
        assert f"chmod go-w {path}" in error.hint

    @pytest.mark.parametrize(("mode", "is_good"), [(0o755, True), (0o775, False), (0o777, False), (0o1777, True)])
    @pytest.mark.parametrize("above", ["own", "own/deep"])
    def test_others_may_write_to_a_folder_above(
        self, project: Path, tmp_path: Path, above: str, mode: int, is_good: bool
    ) -> None:
        path = make_ssh_config(tmp_path / "own/deep/config")
        (tmp_path / above).chmod(mode)
        error = check(project, path)
        assert (error is None) is is_good
        assert error is None or f"chmod go-w {tmp_path / above}" in error.hint

    def test_what_lies_above_the_home_folder_is_not_the_users_to_change(self, project: Path) -> None:
        make_ssh_config(Path.home() / ".ssh/hpc")
        Path.home().parent.chmod(0o777)
        assert check(project, "~/.ssh/hpc") is None
        Path.home().chmod(0o777)
        assert check(project, "~/.ssh/hpc") is not None

    @pytest.mark.parametrize("name", ["own/config", "own"])
    def test_somebody_elses(self, project: Path, tmp_path: Path, name: str, make_foreign: MakeForeign) -> None:
        path = make_ssh_config(tmp_path / "own/config")
        loaded_before = check(project, path)
        make_foreign(tmp_path / name)
        error = check(project, path)
        assert loaded_before is None
        assert error is not None
        assert "belongs to" in error.message

    def test_a_symlink_of_somebody_else(self, project: Path, tmp_path: Path, make_foreign: MakeForeign) -> None:
        make_ssh_config(tmp_path / "own/config")
        (tmp_path / "link").symlink_to(tmp_path / "own/config")
        assert check(project, tmp_path / "link") is None
        make_foreign(tmp_path / "link")
        assert check(project, tmp_path / "link") is not None

    @pytest.mark.parametrize("place", ["project/ssh_config", "project/.hsm/ssh_config", "project/a/../ssh"])
    def test_a_file_of_the_project(self, project: Path, tmp_path: Path, place: str) -> None:
        (project / "a").mkdir()
        make_ssh_config(tmp_path / place)
        error = check(project, str((tmp_path / place).resolve()))
        assert error is not None
        assert f"lies in the project {project}" in error.message
        assert "Move it" in error.hint

    def test_symlinks_into_the_project_and_out_of_it(self, project: Path, tmp_path: Path) -> None:
        outside, inside = make_ssh_config(tmp_path / "own/config"), make_ssh_config(project / "config")
        (tmp_path / "own/in").symlink_to(inside)
        (project / "out").symlink_to(outside)
        (tmp_path / "second").symlink_to(project)
        for path in (tmp_path / "own/in", project / "out", tmp_path / "second/config"):
            error = check(project, path)
            assert error is not None
            assert "lies in the project" in error.message

    def test_the_home_folder_as_the_project(self) -> None:
        home = Path.home()
        (home / ".hsm").mkdir(exist_ok=True)
        make_ssh_config(home / ".ssh/hpc")
        make_ssh_config(home / "elsewhere/hpc")
        assert check(home, "~/.ssh/hpc") is None
        assert check(home, "~/elsewhere/hpc") is not None

    @pytest.mark.parametrize("place", ["missing", "folder", "circle"])
    def test_what_is_no_file(self, project: Path, tmp_path: Path, place: str) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "circle").symlink_to("circle")
        assert check(project, tmp_path / place) is not None

    def test_all_at_once_and_each_remedy_once(self, project: Path, tmp_path: Path) -> None:
        bad = make_ssh_config(tmp_path / "own/bad", 0o666)
        good = make_ssh_config(tmp_path / "own/good")
        error = check(project, bad, good, bad, tmp_path / "missing")
        assert error is not None
        assert [line.partition(":")[0] for line in error.message.splitlines()] == ["t0", "t2", "t3"]
        assert len(error.hint.splitlines()) == 2

    def test_only_the_targets_of_the_call_are_looked_at(self, project: Path, tmp_path: Path) -> None:
        bad, good = make_ssh_config(tmp_path / "own/bad", 0o666), make_ssh_config(tmp_path / "own/good")
        check(project, bad, good)
        loaded = load_project_config(project)
        check_trust(loaded, {"t1": loaded.config.sync_targets["t1"]})
