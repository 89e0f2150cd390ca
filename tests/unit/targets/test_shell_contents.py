"""Flushes by programs of a target: whom is believed, and of which file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hsm.errors import TargetError
from hsm.process.runner import Runner
from hsm.remote.local import LocalShell
from hsm.targets.contents.shell import ShellContents

STUB = "#!/bin/sh\nexit 0\n"
"""As BSD's and old versions of GNU's: it flushes everything, whatever it is given, and never fails."""

FAILING = r"""#!/bin/sh
shift
for f do
  printf '%s\n' "$f" >>"$LOG"
  [ -e "$f" ] || { echo "sync: no such file: $f" >&2; exit 1; }
  case $f in *bad) echo "sync: error syncing '$f': Input/output error" >&2; exit 1 ;; esac
done
"""


class Programs:
    """A PATH that holds what a target has."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.log = folder.with_name("log")
        folder.mkdir()
        for name in ("sh", "xargs", "dd", "rm"):
            self.link(name)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("LOG", str(self.log))

    def link(self, name: str) -> None:
        (self.folder / name).symlink_to(str(shutil.which(name, path="/usr/bin:/bin")))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def flush(self, *files: Path) -> dict[str, str]:
        return ShellContents(LocalShell(Runner(), name="nas")).flush([str(file) for file in files], [])


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(tmp_path / "bin", monkeypatch)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / name for name in ("good", "bad", "after\nit")]
    for file in found:
        file.write_text("x")
    return found


def test_a_file_that_fails_is_told_in_the_systems_words_and_the_others_count(
    programs: Programs, files: list[Path]
) -> None:
    programs.write("sync", FAILING)
    assert programs.flush(*files) == {str(files[1]): f"sync: error syncing '{files[1]}': Input/output error"}


def test_no_file_is_tried_twice(programs: Programs, files: list[Path]) -> None:
    """The system tells an error of writing once: a second try would hear that all is well."""
    programs.write("sync", FAILING)
    programs.flush(files[1])
    assert programs.log.read_text().splitlines().count(str(files[1])) == 1


@pytest.mark.parametrize("program", ["fsync", "perl"])
def test_a_program_that_finds_nothing_wrong_with_no_file_is_not_believed(
    programs: Programs, files: list[Path], program: str
) -> None:
    programs.write("sync", STUB)
    if program == "fsync":
        programs.write("fsync", FAILING.replace("shift\n", ""))
    elif shutil.which("perl", path="/usr/bin:/bin") is None:
        pytest.skip("there is no perl here")
    else:
        programs.link("perl")
    missing = files[0].with_name("missing")
    assert list(programs.flush(files[0], missing)) == [str(missing)]


def test_where_nothing_flushes_one_file_nothing_counts(programs: Programs, files: list[Path]) -> None:
    programs.write("sync", STUB)
    with pytest.raises(TargetError) as caught:
        programs.flush(*files)
    assert caught.value.kind == "cannot_flush"
    assert "sync, fsync, perl, python3" in caught.value.detail
