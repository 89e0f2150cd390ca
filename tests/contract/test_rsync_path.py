"""A `rsync_path` that names no rsync: the survey says what is wrong with it, in the words of the shell there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.endpoint import Tree
from hsm.errors import NoRsyncError
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.transfer.rsync.versions import check_remote_version
from tests.contract.conftest import Machines


def write(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "folder").mkdir()
    return {
        "missing": str(tmp_path / "no rsync"),
        "below a file": str(write(tmp_path / "file", "") / "rsync"),
        "no program": "rsync-of-another-machine",
        "below home": "~/no/such/rsync",
        "a folder": str(tmp_path / "folder"),
        "not to be run": str(write(tmp_path / "text", "x\n", 0o644)),
        "without its interpreter": str(write(tmp_path / "script", "#!/no/such/interpreter\n")),
        "another program": str(write(tmp_path / "other", "#!/bin/sh\necho other 1.0\n")),
        "a failing one": str(write(tmp_path / "broken", "#!/bin/sh\necho libxxhash.so.0 is missing >&2; exit 127\n")),
        "a silent one": str(write(tmp_path / "silent", "#!/bin/sh\n")),
    }


EXPECTED = {
    "missing": "no rsync does not exist at desktop.",
    "below a file": "file/rsync does not exist at desktop.",
    "no program": "There is no rsync-of-another-machine at desktop.",
    "below home": "~/no/such/rsync does not exist at desktop.",
    "a folder": "no rsync that can be run at desktop: ",
    "not to be run": "ermission denied",
    "without its interpreter": "no rsync that can be run at desktop: ",
    "another program": '"other 1.0"',
    "a failing one": '"libxxhash.so.0 is missing"',
    "a silent one": "it names no version",
}


@pytest.mark.parametrize("kind", ["gnu", "busybox", "paramiko"])
@pytest.mark.parametrize("flaw", EXPECTED)
def test_a_wrong_path_is_told_as_that(machines: Machines, wrong: dict[str, str], kind: str, flaw: str) -> None:
    path = wrong[flaw]
    shell = machines.make_endpoint(kind)
    assert isinstance(shell, RemoteEndpoint)
    endpoint = RemoteEndpoint(shell._shell, rsync_path=path)
    survey = endpoint.survey([Tree("/", (), 0)])
    with pytest.raises(NoRsyncError) as caught:
        check_remote_version(survey.machine.rsync_version, name="desktop", rsync_path=path)
    assert path in caught.value.message
    assert EXPECTED[flaw] in caught.value.message
    assert "`rsync_path`" in caught.value.hint
    assert survey.machine.clock_ns, "the rest of the answer is read"
