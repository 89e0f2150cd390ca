"""The fork server of the tests: a copy is like a program that was started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from private_sshd import list_processes

from tests.fork_server import ForkServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Result = tuple[int, bytes, bytes]

TELL = """
import json, os, random, signal, sys, tempfile, threading
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path[0], "cwd": os.getcwd(),
    "environment": dict(os.environ), "umask": os.umask(0),
    "session": os.getsid(0) == os.getpgid(0) == os.getpid(), "threads": threading.active_count(),
    "signals": [signal.getsignal(getattr(signal, name)) == expected for name, expected in [
        ("SIGCHLD", signal.SIG_DFL), ("SIGTERM", signal.SIG_DFL), ("SIGINT", signal.default_int_handler),
        ("SIGPIPE", signal.SIG_IGN)]],
    "masked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "wakeup": signal.set_wakeup_fd(-1),
    "streams": [[stream.encoding, stream.errors, stream.isatty(), stream.line_buffering, stream.newlines]
                for stream in (sys.stdin, sys.stdout, sys.stderr)],
    "main": sys.modules["__main__"].__name__, "temporary": tempfile.tempdir,
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1] if os.path.exists("/proc") else [],
}))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer({"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
    yield server
    server.close()


@pytest.fixture
def run(server: ForkServer, tmp_path: Path) -> Callable[..., Result]:
    """Return a function that runs the text of a program as a copy."""

    def run_text(text: str, *args: str, given: bytes | None = None, timeout: float = 60) -> Result:
        (tmp_path / "program.py").write_text(text)
        return server.run("program", *args, cwd=tmp_path, environment=os.environ, given=given, timeout=timeout)

    return run_text


def test_it_is_like_a_start(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("pass")  # the server has another umask
    monkeypatch.setenv("NAME", "a\nb=\udcff")
    before = os.umask(0o027)
    try:
        code, out, err = run(TELL, "--x", "caf\u00e9", "\udcff")
        argv = [sys.executable, "-m", "program", "--x", "caf\u00e9", "\udcff"]
        begun = subprocess.run(
            argv,
            cwd=tmp_path,
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            start_new_session=True,
        )
    finally:
        os.umask(before)
    assert (code, err) == (0, b"")
    copied, started = json.loads(out), json.loads(begun.stdout)
    assert copied.pop("environment") == started.pop("environment")
    assert copied == started


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("pass", 0, id="its end"),
        pytest.param("import sys; sys.exit(7)", 7, id="an exit"),
        pytest.param("import os; os._exit(130)", 130, id="an exit at once"),
        pytest.param("raise SystemExit", 0, id="an exit without a code"),
        pytest.param("1 / 0", 1, id="an error"),
        pytest.param("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, id="SIGKILL"),
        pytest.param("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM, id="SIGTERM"),
    ],
)
def test_its_exit_code(text: str, code: int, run: Callable[..., Result]) -> None:
    assert run(text)[0] == code


def test_an_error_is_told(run: Callable[..., Result]) -> None:
    assert b"ZeroDivisionError" in run("1 / 0")[2]


def test_much_goes_in_and_out(run: Callable[..., Result]) -> None:
    given = os.urandom(300_000)
    text = "import sys; c = sys.stdin.buffer.read(); sys.stdout.buffer.write(c); sys.stderr.buffer.write(c[::-1])"
    assert run(text, given=given) == (0, given, given[::-1])


def test_what_does_not_read_ends_all_the_same(run: Callable[..., Result]) -> None:
    assert run("print(1)", given=b"x" * 300_000) == (0, b"1\n", b"")


def test_copies_run_beside_each_other(run: Callable[..., Result]) -> None:
    """Each waits for what the other writes."""
    text = """if 1:
        import pathlib, sys, time
        pathlib.Path(sys.argv[1]).touch()
        while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)
    """
    codes: list[int] = []
    threads = [threading.Thread(target=lambda a, b: codes.append(run(text, a, b)[0]), args=p) for p in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]


@pytest.mark.parametrize("closes", ["", "os.close(1); os.close(2); "])
def test_a_time_limit_kills_its_group(closes: str, run: Callable[..., Result], tmp_path: Path) -> None:
    text = f"import os, time; {closes}print(os.fork(), file=open(f'pid-{{os.getpid()}}', 'w')); time.sleep(600)"
    for limit in (0.5, 5, 50):  # on a busy machine both may not be there so soon
        with pytest.raises(subprocess.TimeoutExpired):
            run(text, timeout=limit)
        pids = {int(path.name[4:]) for path in tmp_path.glob("pid-*")}
        if len(pids) > 1:
            break
    assert_gone(pids)


def test_a_stream_that_stays_open_is_waited_for(run: Callable[..., Result]) -> None:
    text = "import os, time; os.fork() or (time.sleep(0.5), print('later'))"
    assert run(text) == (0, b"later\n", b"")


def test_a_folder_that_is_not_there(server: ForkServer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        server.run("program", cwd=tmp_path / "gone", environment={}, given=None, timeout=60)


@pytest.mark.parametrize(
    ("variables", "is_like"),
    [
        ({"LC_ALL": "C.UTF-8"}, True),
        ({"LC_ALL": "C.UTF-8", "TERM": "dumb", "HOME": "/h"}, True),
        ({"LC_ALL": "C"}, False),
        ({"LC_ALL": "C.UTF-8", "PYTHONPATH": "/x"}, False),
        ({}, False),
    ],
)
def test_what_python_reads_as_it_starts_needs_a_start(variables: dict[str, str], is_like: bool) -> None:
    assert ForkServer({"LC_ALL": "C.UTF-8", "PATH": "/bin"}).is_like_start(variables) == is_like


def test_another_python_needs_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ForkServer({})
    monkeypatch.setattr(sys, "executable", "/other/python")
    assert not server.is_like_start({})


KILLED_CALLER = """
import os, signal, threading, time
from pathlib import Path
from tests.fork_server import ForkServer
def kill():
    while not Path("pids").exists() or not Path("pids").read_text().endswith("."): time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill).start()
ForkServer({}).run("program", cwd=Path(), environment=os.environ, given=None, timeout=60)
"""


def test_all_ends_with_whoever_called(tmp_path: Path) -> None:
    text = "import os, time; print(os.getppid(), os.getpid(), end=' .', file=open('pids', 'w')); time.sleep(600)"
    (tmp_path / "program.py").write_text(text)
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    argv = [sys.executable, "-c", KILLED_CALLER]
    done = subprocess.run(argv, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert_gone({int(word) for word in (tmp_path / "pids").read_text().split()[:2]})


def assert_gone(pids: set[int]) -> None:
    assert pids
    deadline = time.monotonic() + 30
    while left := pids & {process.pid for process in list_processes()}:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
