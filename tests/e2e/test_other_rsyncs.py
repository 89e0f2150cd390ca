"""Other rsyncs than samba's newest: stand-ins that report what they are and refuse what they do not know."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.aftermath import SWEEP, add_file, assert_all_arrived, assert_end, list_runs, sync
from tests.e2e.archive import OLD_RSYNC, get_from_archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import Project

SECOND_NS = 10**9

# The options of macOS's openrsync (main.c, rsync_shopts and rsync_lopts), as getopt takes them.
OPENRSYNC_SHORT = "0468B:CDEFHIKLOPRSTWVabcde:f:ghiklmnopqrtuvxyz"
OPENRSYNC_LONG = (  # noqa: SIM905 - as a list it would be a page
    "address= append archive backup backup-dir= block-size= blocking-io bwlimit= cache no-cache checksum "
    "checksum-seed= chmod= compare-dest= copy-dest= link-dest= compress compress-level= contimeout= copy-dirlinks "
    "copy-links copy-unsafe-links cvs-exclude no-D daemon del delete delete-before delete-during delete-delay "
    "delete-after delete-excluded devices no-devices dry-run exclude= exclude-from= executability existing filter= "
    "force fuzzy group no-group no-g hard-links help human-readable ignore-errors ignore-existing "
    "ignore-non-existing ignore-times include= include-from= inplace ipv4 ipv6 keep-dirlinks links list-only "
    "max-delete= max-size= min-size= motd no-motd no-links no-l numeric-ids omit-dir-times owner no-owner no-o "
    "one-file-system password-file= partial no-partial partial-dir= perms no-perms no-p port= protocol= "
    "prune-empty-dirs quiet read-batch= recursive no-recursive no-r rsh= rsync-path= safe-links sender server "
    "size-only sockopts= specials no-specials sparse stats suffix= super no-super temp-dir= timeout= times no-times "
    "no-t update verbose no-verbose no-v whole-file no-whole-file no-W only-write-batch= write-batch= progress "
    "no-progress relative no-R no-relative remove-sent-files remove-source-files version dirs no-dirs "
    "no-implied-dirs files-from= from0 out-format= log-format= itemize-changes delay-updates modify-window= "
    "8-bit-output"
).split()

STAND_IN = """\
#!{python}
import getopt, os, sys
words = sys.argv[1:]
if words == ["--version"]:
    print("openrsync: protocol version 29\\nrsync version 2.6.9 compatible")
    sys.exit(0)
try:
    options, _ = getopt.gnu_getopt(words, {short!r}, {long!r})
except getopt.GetoptError as error:
    sys.exit(f"rsync: {{error}}\\nusage: rsync ...")
for name, value in options:
    if name == "--temp-dir" and not os.path.isdir(value):
        sys.exit(f"rsync: {{value}}: open: No such file or directory")
if "--server" not in dict(options):
    sys.exit("this stand-in is only ever a server")
with open({log!r}, "a") as log:
    print(*words, file=log)
os.execvp("rsync", ["rsync", "--protocol=29", *words])
"""


@pytest.fixture(autouse=True)
def _programs(require_program: Callable[..., None]) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def openrsync(tmp_path: Path) -> Path:
    """Return a stand-in for macOS's openrsync; what it was called with stands in `openrsync.log`."""
    program = tmp_path / "openrsync"
    log = str(tmp_path / "openrsync.log")
    text = STAND_IN.format(python=sys.executable, short=OPENRSYNC_SHORT, long=OPENRSYNC_LONG, log=log)
    program.write_text(text)
    program.chmod(0o755)
    return program


def test_openrsync_there_gets_all_and_a_second_call_sends_nothing(
    openrsync: Path, make: Callable[..., Project]
) -> None:
    project = make(name="it's my $project")
    project.set_target(rsync_path=str(openrsync))
    run = list_runs(project)[0]
    add_file(run, "model.bin", 3_000_000)
    for name in ("-n", "#c", "two  spaces", "new\nline", "b\\ack", "$(touch x)", "*", "ünï"):
        (run / "files" / name).write_text(name)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project, unit_ns=SECOND_NS)
    assert_end(sync(project), "nothing_to_do", 0)
    calls = (openrsync.parent / "openrsync.log").read_text().splitlines()
    assert calls
    assert all("--server" in call for call in calls)


@pytest.mark.slow
def test_openrsync_there_misses_no_change_and_is_compared_by_checksum(
    openrsync: Path, make: Callable[..., Project]
) -> None:
    project = make()
    project.set_target(rsync_path=str(openrsync))
    assert_end(sync(project), "done", 0)
    text = list_runs(project)[0] / "files/requirements.txt"
    state = text.stat()
    text.write_bytes(bytes(byte ^ 1 for byte in text.read_bytes()))
    second = state.st_mtime_ns // SECOND_NS * SECOND_NS
    changed = second + (state.st_mtime_ns - second + SECOND_NS // 2) % SECOND_NS
    os.utime(text, ns=(changed, changed))  # another content within the same second
    verified = project.hsm("sync", "verify", SWEEP)
    assert (verified.returncode, verified.stdout.count(" differs\n")) == (1, 1), verified.stdout
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project, unit_ns=SECOND_NS)
    assert project.hsm("sync", "verify", SWEEP).returncode == 0


@pytest.mark.slow
def test_the_doctor_names_openrsync(openrsync: Path, make: Callable[..., Project]) -> None:
    project = make()
    project.set_target(rsync_path=str(openrsync))
    doctor = project.hsm("sync", "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "openrsync, protocol 29" in doctor.stdout


@pytest.fixture
def openrsync_here(openrsync: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine's rsync be openrsync."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "rsync").symlink_to(openrsync)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@pytest.mark.slow
@pytest.mark.usefixtures("openrsync_here")
def test_openrsync_here_is_refused_where_it_is_asked_for(make: Callable[..., Project]) -> None:
    project = make()
    project.set_target(engine="rsync")
    said = sync(project)
    assert_end(said, "failed", 1, "rsync_too_old")
    assert "brew install rsync" in said.text


@pytest.mark.slow
@pytest.mark.usefixtures("openrsync_here")
def test_with_openrsync_here_another_engine_sends_all(make: Callable[..., Project]) -> None:
    project = make()
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project, unit_ns=SECOND_NS)
    assert_end(sync(project), "nothing_to_do", 0)


# Of samba's rsync: options that came after 3.1 (NEWS.md).
YOUNGER = (
    "--atimes --checksum-choice --compress-choice --crtimes --fsync --max-alloc --mkpath --no-old-args --old-args "
    "--open-noatime --secluded-args --stderr --trust-sender --zc"
)

OLD_STAND_IN = """\
#!/bin/sh
if [ "$1" = --version ]; then echo "rsync  version 3.1.0  protocol version 31"; exit; fi
for word do
  case " {younger} " in *" ${{word%%=*}} "*) echo "rsync: $word: unknown option" >&2; exit 1 ;; esac
done
exec {rsync} "$@"
"""


@pytest.fixture(params=["3.2.7", "3.1.0"])
def older(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a folder with an older rsync: the real 3.2.7, or a stand-in that knows no option younger than 3.1."""
    folder = tmp_path / "older"
    folder.mkdir()
    if request.param == "3.2.7":
        (folder / "rsync").symlink_to(get_from_archive(OLD_RSYNC, tmp_path_factory))
    else:
        text = OLD_STAND_IN.format(younger=YOUNGER, rsync=shutil.which("rsync"))
        (folder / "rsync").write_text(text)
        (folder / "rsync").chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("place", ["here", "there"])
def test_an_older_rsync_at_either_end_brings_all(
    older: Path, make: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    project = make(name="my project")
    if place == "there":
        project.set_target(rsync_path=str(older / "rsync"))
    else:
        monkeypatch.setenv("PATH", f"{older}:{os.environ['PATH']}")
    add_file(list_runs(project)[0], "model.bin", 3_000_000)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)
    assert_end(sync(project), "nothing_to_do", 0)
    assert project.hsm("sync", "verify", SWEEP).returncode == 0
