"""Fork server: a process that has imported the program once, and is copied for each call of it.

A start of `hsm` computes for a third of a second before it does anything, most of it imports, and the end-to-end tests
start it two thousand times. A copy by fork(2) begins at once. It is a process of its own, with the arguments, working
folder, environment, streams, umask and session that the caller gives it; all that it inherits are imported modules, of
which nothing was called. It cannot show the start itself, nor what Python decides there: `is_like_start` tells whether
a call depends on that.

    python fork_server.py SOCKET

For each call a byte arrives over SOCKET, and with it descriptors: the three standard streams, the working folder, and a
channel of the call's own. Over that comes the request, a line of JSON; back go the process's number and, once it has
ended, its exit code, a line each.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO

_READ_AT_START = ("FORCE_COLOR", "GITHUB_ACTIONS", "LANG", "LC_", "PYTHON", "PY_COLORS", "TERMINAL_WIDTH", "TYPER_")
"""Beginnings of the names of variables that Python and typer read once, as they start."""

_LAZY = ("fabric", "filelock._soft", "httpx", "paramiko", "pydantic.type_adapter", "rich.progress", "typer._adapters")
"""What `hsm`, or a library at its first use, imports within functions."""

_N_HANDED = 5
_CHUNK_BYTES = 65536


class ForkServer:
    """The caller's end. The server starts with the first call; all its calls end with it, and it with this process.

    Args:
        environment: What it is started with.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._python = sys.executable
        self._starting = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def is_like_start(self, environment: Mapping[str, str]) -> bool:
        """Tell whether a program that starts now is like a copy: the same Python reads the same variables."""
        now, then = (
            {name: value for name, value in variables.items() if name.startswith(_READ_AT_START)}
            for variables in (environment, self._environment)
        )
        return sys.executable == self._python and now == then

    def run(
        self, module: str, *args: str, cwd: Path, environment: Mapping[str, str], given: bytes | None, timeout: float
    ) -> tuple[int, bytes, bytes]:
        """Run a module as a program, in a session of its own.

        Args:
            module: As after `python -m`.
            args: Its arguments.
            cwd: Its working folder.
            environment: All of its environment.
            given: What it reads from its standard input; None: nothing, from /dev/null.
            timeout: Seconds, after which it and all of its process group are killed.

        Returns:
            Its exit code, negative where a signal ended it, and what came from its standard output and error.

        Raises:
            subprocess.TimeoutExpired: It was killed, since it or one of its streams had not ended.
        """
        umask = os.umask(0o077)
        os.umask(umask)
        request = {"module": module, "args": args, "environment": dict(environment), "umask": umask}
        deadline = time.monotonic() + timeout
        with contextlib.ExitStack() as ours:
            with contextlib.ExitStack() as theirs:
                folder = os.open(cwd, os.O_RDONLY)
                theirs.callback(os.close, folder)
                channel, far_end = socket.socketpair()
                ours.enter_context(channel)
                theirs.enter_context(far_end)
                stdin, to_stdin = _make_pipe(theirs, ours)
                from_stdout, stdout = _make_pipe(ours, theirs)
                from_stderr, stderr = _make_pipe(ours, theirs)
                if given is None:
                    stdin = theirs.enter_context(os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb", buffering=0))
                handed = [end.fileno() for end in (stdin, stdout, stderr, far_end)]
                socket.send_fds(self._start(), [b"\n"], [folder, *handed])
            channel.sendall(json.dumps(request).encode() + b"\n")
            texts = {end.fileno(): bytearray() for end in (channel, from_stdout, from_stderr)}
            try:
                _communicate(texts, to_stdin, given or b"", deadline)
            except BaseException as error:
                _kill(texts[channel.fileno()])
                if isinstance(error, TimeoutError):
                    raise subprocess.TimeoutExpired([module, *args], timeout) from None
                raise
        told, out, err = (bytes(text) for text in texts.values())
        return int(told.split()[1]), out, err  # an IndexError: the server has gone

    def close(self) -> None:
        """End the server, and what it has copied."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait()

    def _start(self) -> socket.socket:
        with self._starting:
            if self._socket is None:
                self._socket, theirs = socket.socketpair()
                with theirs:
                    self._process = subprocess.Popen(
                        [self._python, __file__, str(theirs.fileno())],
                        env=self._environment,
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        start_new_session=True,
                    )
            return self._socket


def _make_pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[FileIO, FileIO]:
    ends = os.pipe()
    read = reader.enter_context(os.fdopen(ends[0], "rb", buffering=0))
    return read, writer.enter_context(os.fdopen(ends[1], "wb", buffering=0))


def _communicate(texts: dict[int, bytearray], stdin: FileIO, given: bytes, deadline: float) -> None:
    """Write what is given, and read all descriptors until nobody can write to them any more."""
    left = memoryview(given)
    with selectors.DefaultSelector() as selector:
        selector.register(stdin, selectors.EVENT_WRITE)
        for number in texts:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if key.fileobj is not stdin:
                    chunk = os.read(key.fd, _CHUNK_BYTES)
                    texts[key.fd] += chunk
                    if not chunk:
                        selector.unregister(key.fd)
                    continue
                with contextlib.suppress(BrokenPipeError):
                    if left:
                        left = left[os.write(key.fd, left[: select.PIPE_BUF]) :]
                        continue
                selector.unregister(stdin)
                stdin.close()


def _kill(told: bytearray) -> None:
    numbers = told.split()
    if len(numbers) == 1:  # it has begun, and not ended
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(numbers[0]), signal.SIGKILL)


def serve(caller: socket.socket) -> None:
    """Copy this process for each call, until the caller has gone."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    channels: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([caller, woken], [], [])
        if woken in ready:
            woken.recv(_CHUNK_BYTES)
            _tell_ended(channels)
        if caller in ready:
            _, handed, _, _ = socket.recv_fds(caller, 1, _N_HANDED)
            if not handed:
                break
            channel = socket.socket(fileno=handed.pop())
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for other in (caller, woken, waker, *channels.values()):
                    other.close()
                _run_program(channel, *handed)
            channels[pid] = channel
            for number in handed:
                os.close(number)
    for pid in channels:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _tell_ended(channels: dict[int, socket.socket]) -> None:
    while channels:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with channels.pop(pid) as channel, contextlib.suppress(OSError):  # a caller that has gone
            channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _run_program(channel: socket.socket, folder: int, *streams: int) -> NoReturn:
    """Become the program that is asked for."""
    code = 1
    try:
        os.setsid()
        with channel, channel.makefile("rb") as lines:
            request = json.loads(lines.readline())
            channel.sendall(f"{os.getpid()}\n".encode())
        _take_place(request, folder, streams)
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)


def _take_place(request: dict[str, Any], folder: int, streams: tuple[int, ...]) -> None:
    os.fchdir(folder)
    for number, handed in enumerate(streams):
        os.dup2(handed, number)
    for handed in (folder, *streams):
        os.close(handed)
    # As Python makes them; those of the server may have buffers.
    options = {"encoding": sys.stdout.encoding, "newline": "\n", "closefd": False}
    sys.stdin = os.fdopen(0, "r", errors=sys.stdin.errors, **options)
    sys.stdout = os.fdopen(1, "w", errors=sys.stdout.errors, **options)
    sys.stderr = os.fdopen(2, "w", 1, errors=sys.stderr.errors, **options)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.umask(request["umask"])
    time.tzset()
    sys.orig_argv = [sys.executable, "-m", request["module"], *request["args"]]
    sys.argv = ["", *request["args"]]  # `runpy` fills in the program
    sys.path[0] = str(Path.cwd())


def import_program() -> None:
    """Import all modules of `hsm`, and what they import when they are used."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as `hsm` itself does before it imports pydantic
    import hsm

    modules = pkgutil.walk_packages(hsm.__path__, "hsm.", onerror=lambda _: None)
    for name in (*_LAZY, *(module.name for module in modules)):
        if not name.endswith(".__main__"):
            with contextlib.suppress(Exception):  # the program that needs it will tell
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # no copy writes to what it never collects: the pages stay shared


if __name__ == "__main__":
    sys.path[0] = ""
    import_program()
    with socket.socket(fileno=int(sys.argv[1])) as its_caller:
        serve(its_caller)
