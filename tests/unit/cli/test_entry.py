"""The program under odd conditions: it says a sentence and what to do next, and never shows a traceback."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hsm.cli.last_resort import explain
from hsm.cli.streams import OutputError
from hsm.errors import ExitCode

CONFIG = "default_target: t\nsync_targets:\n  t:\n    paths: {sweeps: /nowhere/s, wandb: /nowhere/w}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".hsm").mkdir(parents=True)
    (folder / ".hsm/sync_config.yaml").write_text(CONFIG)
    return folder


def run(folder: Path, words: str, before: str = "", after: str = "", **env: str) -> tuple[int, str]:
    """Run `hsm` by a shell, which closes its streams and the like; returns its exit code, and what it printed."""
    line = f"{before}; {shlex.quote(sys.executable)} -m hsm {words} {after}"
    done = subprocess.run(
        ["sh", "-c", line.lstrip("; ")],
        cwd=folder,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout
    return done.returncode, done.stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(closed: str, project: Path) -> None:
    assert run(project, "sync list", after=closed)[0] == 0


def test_a_full_disk_for_the_output_is_said_and_is_no_success(project: Path) -> None:
    code, words = run(project, "sync list", after=">/dev/full")
    assert code == 1
    assert "Error: Standard output cannot be written: No space left on device." in words
    assert "Next: " in words
    assert run(project, "--help", after=">/dev/full")[0] == 1
    assert run(project, "sync list", after=">/dev/full 2>/dev/full")[0] == 1


def test_a_full_disk_for_complaints_ends_no_work(project: Path) -> None:
    assert run(project, "sync list", after="2>/dev/full")[0] == 0


def test_a_reader_that_has_gone_is_no_error_to_speak_of(project: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hsm", "sync", "list"],
            cwd=project,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("words", ["sync list", "sync init", "sync to latest", "hosts list"])
def test_a_working_folder_that_is_gone(words: str, tmp_path: Path) -> None:
    code, said = run(tmp_path, words, before='mkdir gone; cd gone; rmdir "$PWD"')
    assert code == 2
    assert "The working folder cannot be used: No such file or directory." in said
    assert "Next: `cd` to a folder that is there" in said


def test_a_gone_working_folder_is_a_document_too(tmp_path: Path) -> None:
    _, said = run(tmp_path, "sync list --json", before='mkdir gone; cd gone; rmdir "$PWD"')
    assert json.loads(said)["error"]["kind"] == "no_working_folder"


def test_help_needs_no_working_folder(tmp_path: Path) -> None:
    assert run(tmp_path, "--version", before='mkdir gone; cd gone; rmdir "$PWD"')[0] == 0


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(project: Path) -> None:
    (project / ".hsm/sync_config.yaml").unlink()
    os.mkfifo(project / ".hsm/sync_config.yaml")
    code, said = run(project, "sync list")
    assert code == 2
    assert "not a regular file" in said
    assert run(project, "sync init --force")[0] == 0
    assert (project / ".hsm/sync_config.yaml").is_file()


def fail(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_a_bug_is_a_sentence_and_its_traceback_is_kept() -> None:
    found = explain(fail(ZeroDivisionError("division by zero")))
    assert found.exit_code is ExitCode.BUG
    assert found.message.startswith("HSM has a bug: ZeroDivisionError: division by zero (test_entry.py, line ")
    (path,) = (Path(word.rstrip(",")) for word in found.hint.split() if "hsm-bug-" in word)
    assert "Traceback" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()


def test_a_bug_where_nothing_can_be_written_is_said_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    found = explain(fail(KeyError("x")))
    assert found.message.startswith("HSM has a bug: KeyError: 'x' (")
    assert "-v" in found.hint


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/p/x"),
            "system_error",
            "/p/x cannot be used: No space left",
        ),
        (OSError(errno.EMFILE, "Too many open files"), "system_error", "The system refuses: Too many open files."),
        (OutputError(errno.ENOSPC, "No space left on device"), "output_failed", "Standard output cannot be written"),
        (MemoryError(), "no_memory", "not enough memory"),
    ],
)
def test_what_the_system_refuses_is_no_bug(error: Exception, kind: str, words: str) -> None:
    found = explain(fail(error))
    assert (found.kind, found.exit_code) == (kind, ExitCode.PARTIAL)
    assert words in found.message
    assert found.hint


@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.ISO-8859-1"])
def test_names_are_bytes_in_any_locale(locale: str, tmp_path: Path) -> None:
    """The folder's name stands in the configuration that is written, as it is on disk."""
    folder = tmp_path / "caf\u00e9"
    folder.mkdir()
    code, _ = run(folder, "sync init", LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert code == 0
    assert "caf\u00e9" in (folder / ".hsm/sync_config.yaml").read_text("utf-8")
