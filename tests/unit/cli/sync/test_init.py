"""The beginning of a project: options, questions in a terminal, and the template; nothing is overwritten."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from hsm.cli.main import app

WAIT_SECONDS = 40


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "Encoded-CVPR"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["sync", "init", *words], env={"COLUMNS": "400"})


def read_config(project: Path) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((project / ".hsm" / "sync_config.yaml").read_text())
    return found


@pytest.mark.parametrize(
    ("option", "next_line"), [("--pull", "`hsm sync from latest`"), ("--push", "`hsm sync to latest`")]
)
def test_an_address_is_all_that_is_needed(option: str, next_line: str, project: Path) -> None:
    result = run(option, "me@hpc.example.org:/path/project")
    assert result.exit_code == 0
    assert next_line in result.output
    paths = {"project_root": "/path/project", "sweeps": "sweeps", "wandb": "wandb"}
    target = {"host": "hpc.example.org", "user": "me", "paths": paths}
    assert read_config(project) == {"default_target": "hpc", "sync_targets": {"hpc": target}}
    assert (project / ".hsm" / ".gitignore").is_file()


def test_without_a_terminal_there_is_a_template_with_both_ways(project: Path) -> None:
    result = run()
    assert result.exit_code == 0
    text = (project / ".hsm" / "sync_config.yaml").read_text()
    assert "hsm sync from latest" in text
    assert "hsm sync to latest" in text
    assert "~/code/Encoded-CVPR" in text


@pytest.mark.usefixtures("project")
def test_the_document_names_what_was_written() -> None:
    document = json.loads(run("--pull", "hpc:/p", "--json").output)
    assert (document["command"], document["exit_code"], document["error"]) == ("sync init", 0, None)
    assert (document["target"], document["direction"]) == ("hpc", "pull")
    assert Path(document["config"]).is_file()
    assert json.loads(run("--json").output)["error"]["kind"] == "config_exists"


@pytest.mark.parametrize("words", [(), ("--pull", "hpc:/p"), ("--push", "hpc:/p")])
def test_what_exists_stays(words: tuple[str, ...], project: Path) -> None:
    (project / ".hsm").mkdir()
    (project / ".hsm" / "sync_config.yaml").write_text("mine\n")
    result = run(*words)
    assert result.exit_code == 2
    assert "exists already" in result.output
    assert [path.name for path in (project / ".hsm").iterdir()] == ["sync_config.yaml"]
    assert (project / ".hsm" / "sync_config.yaml").read_text() == "mine\n"
    assert run(*words, "--force").exit_code == 0


def test_a_link_to_nothing_is_something(project: Path) -> None:
    (project / ".hsm").mkdir()
    (project / ".hsm" / "sync_config.yaml").symlink_to("gone.yaml")
    assert run("--pull", "hpc:/p").exit_code == 2
    assert not (project / ".hsm" / "gone.yaml").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--pull", "-oProxyCommand=touch x:/p"),
        ("--pull", "hpc:/p\nq"),
        ("--push", 'me"@hpc:/p'),
        ("--pull", "hpc"),
        ("--pull", ""),
        ("--pull", "a:/p", "--push", "b:/p"),
        ("--pull", "a:/p", "--project-name", "x"),
        ("--project-name", "a/b"),
    ],
)
def test_what_is_refused_leaves_nothing(words: tuple[str, ...], project: Path) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "Next: " in result.output
    assert list(project.iterdir()) == []


def test_what_cannot_be_written_leaves_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, text: str) -> None:
        path.write_text(text[:10])
        path.unlink()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hsm.user_files.create_config_file", fail)
    assert run("--pull", "hpc:/p").exit_code == 1
    assert list(project.iterdir()) == []


class Terminal:
    """A terminal in which `hsm sync init` runs."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._seen = ""

    def wait_for(self, words: str) -> str:
        """Read until words are seen, and return all that came before; they count once."""
        end = time.monotonic() + WAIT_SECONDS
        while words not in self._seen and time.monotonic() < end:
            if select.select([self._descriptor], [], [], 0.2)[0]:
                try:
                    self._seen += os.read(self._descriptor, 65536).decode("utf-8", "replace")
                except OSError:  # the other end is closed
                    break
        before, found, self._seen = self._seen.partition(words)
        assert found, f"{words!r} does not come: {before}"
        return before

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._descriptor, f"{text}\r".encode())


@pytest.fixture
def start(project: Path, tmp_path: Path) -> Callable[[], AbstractContextManager[Terminal]]:
    """Return a context manager with a terminal in which the questions are asked."""
    home = tmp_path / "home"
    (home / ".ssh" / "more").mkdir(parents=True)
    (home / ".ssh" / "config").write_text("Include more/*\nHost *.org !x\n  User a\nHost hpc login2\n  Port 1\n")
    (home / ".ssh" / "more" / "one").write_text("Host desk\n  HostName 127.0.0.1\n")
    (home / "bin").mkdir()
    ssh = home / "bin" / "ssh"  # no name is looked up, and nothing is connected to
    ssh.write_text("#!/bin/sh\necho 'ssh: Could not resolve hostname hpc: unknown' >&2\nexit 255\n")
    ssh.chmod(0o755)

    @contextmanager
    def start() -> Iterator[Terminal]:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "HOME": str(home), "COLUMNS": "100", "TERM": "xterm"}
        environment["PATH"] = f"{home / 'bin'}:{environment['PATH']}"
        process = subprocess.Popen(
            [sys.executable, "-m", "hsm", "sync", "init"],
            cwd=project,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            process.wait(10)
            os.close(ours)

    return start


def test_the_questions_lead_to_a_configuration(
    start: Callable[[], AbstractContextManager[Terminal]], project: Path
) -> None:
    with start() as terminal:
        terminal.wait_for("1 or 2 [1]: ")
        terminal.type("3")
        terminal.wait_for("must be 1 or 2")
        terminal.wait_for("1 or 2 [1]: ")
        terminal.type("")
        hosts = terminal.wait_for("A number, or a host")
        assert hosts.split("~/.ssh/config:")[1].split() == ["1", "desk", "2", "hpc", "3", "login2"]
        terminal.type("-oProxyCommand=x")
        terminal.wait_for("begins with a dash")
        terminal.type("2")
        terminal.wait_for("[~/code/Encoded-CVPR]: ")
        terminal.type("/p/x")
        terminal.wait_for("Written: ")
        terminal.wait_for("Checking hpc")
        terminal.wait_for("1 target checked, 1 not ready")
        assert terminal.process.wait(20) == 0
    paths = {"project_root": "/p/x", "sweeps": "sweeps", "wandb": "wandb"}
    assert read_config(project) == {"default_target": "hpc", "sync_targets": {"hpc": {"host": "hpc", "paths": paths}}}


@pytest.mark.parametrize("question", ["1 or 2 [1]: ", "A number, or a host", "The project's folder on"])
def test_ctrl_c_leaves_nothing(
    question: str, start: Callable[[], AbstractContextManager[Terminal]], project: Path
) -> None:
    with start() as terminal:
        for answer, asked in (("2", "1 or 2 [1]: "), ("hpc", "A number, or a host"), ("", "The project's folder on")):
            terminal.wait_for(asked)
            if asked == question:
                terminal.process.send_signal(signal.SIGINT)
                break
            terminal.type(answer)
        assert terminal.process.wait(20) == 130
    assert list(project.iterdir()) == []
