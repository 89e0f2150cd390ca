"""The contract of the probe: over every shell and over SFTP it measures the same disk, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hsm.endpoint import Endpoint, Tree
from hsm.plan.disk.file_system import SECOND_NS, FileSystem
from hsm.process.runner import Runner
from hsm.remote.local import LocalShell
from hsm.remote.sftp.endpoint import SftpEndpoint
from hsm.remote.sftp.probe import probe_by_sftp
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.probe import probe_by_shell
from tests.contract.conftest import list_common
from tests.marks import parametrize

KINDS = ["local", "gnu", "busybox", "bsd", "tcsh", "open-gnu", "open-fish", "paramiko", "sftp"]
pytestmark = parametrize("kind", KINDS, quick=list_common(KINDS))

Probe = Callable[[list[str]], Mapping[str, FileSystem]]


@pytest.fixture
def endpoint(kind: str, make_endpoint: Callable[[str], Endpoint]) -> Endpoint:
    return make_endpoint(kind)


@pytest.fixture
def probe(endpoint: Endpoint) -> Probe:
    def run(folders: list[str]) -> Mapping[str, FileSystem]:
        if isinstance(endpoint, SftpEndpoint):
            return probe_by_sftp(endpoint._sessions, folders)
        shell = endpoint._shell if isinstance(endpoint, RemoteEndpoint) else LocalShell(Runner())
        return probe_by_shell(shell, folders)

    return run


def test_it_measures_the_disk_here_and_leaves_nothing(probe: Probe, kind: str, tmp_path: Path) -> None:
    folders = [str(tmp_path / "it's one"), str(tmp_path / "two")]
    for folder in folders:
        Path(folder).mkdir()
    found = probe(folders)
    assert list(found) == folders
    for there in found.values():
        assert there.step_ns == (SECOND_NS if kind == "busybox" else 1)  # BusyBox's stat shows no more
        assert there.sent_step_ns == (SECOND_NS if kind == "sftp" else 1)
        assert there.is_in_range(-1) is (kind != "sftp")
        assert there.keeps_times
        assert there.is_in_range(0)
        assert not there.folds
        assert there.refused == ()
        assert there.longest_name == 255
        assert there.replaces
        assert there.has_symlinks
        assert there.has_hard_links
    assert [list(Path(folder).iterdir()) for folder in folders] == [[], []]


def test_what_a_killed_one_left_is_no_hindrance(probe: Probe, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    (folder / "probe/n/a?b").mkdir(parents=True)
    found = probe([str(folder)]) or probe([str(folder)])  # over SFTP the first try only takes it away
    assert list(found) == [str(folder)]
    assert list(folder.iterdir()) == []


def test_a_folder_in_which_nothing_can_be_made_has_no_answer(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    there = tmp_path / "there"
    there.mkdir()
    assert list(probe([str(tmp_path / "missing"), str(tmp_path / "file"), str(there)])) == [str(there)]


def test_a_survey_names_the_device(endpoint: Endpoint, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        trees = [Tree(str(tmp_path)), Tree(str(tmp_path / "not made yet")), Tree(memory)]
        here, missing, other = (listing.device for listing in endpoint.survey(trees).listings)
        assert here == missing
        assert "" != other != here != ""
        assert [listing.device for listing in endpoint.survey(trees).listings] == [here, missing, other]
