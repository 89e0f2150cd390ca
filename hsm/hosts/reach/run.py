"""Runner of one command on many machines at once, over the shared logins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hsm.config.settings import TargetSettings
from hsm.errors import ExitCode, HsmError
from hsm.process.runner import CommandStoppedError, Runner
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.shell import frame, make_mark, make_remote_command, quote

MAX_LINE_BYTES = 64 * 1024
_SSH_FAILED = 255


@dataclass(frozen=True, slots=True)
class HostRun:
    """End of a command at one machine.

    Attributes:
        name: The machine's name.
        exit_code: The command's; None where it did not run to its end.
        error: The reason why not, as a short stable word; empty where it did.
        message: The same in a sentence.
        hint: What to do about it.
    """

    name: str
    exit_code: int | None
    error: str = ""
    message: str = ""
    hint: str = ""


def make_program(words: Sequence[str]) -> str:
    """Make the /bin/sh program of a command line: one word is a program already, several are quoted each."""
    return words[0] if len(words) == 1 else " ".join(map(quote, words))


def run_everywhere(
    logins: Mapping[str, TargetSettings],
    program: str,
    *,
    on_line: Callable[[str, str], None],
    n_parallel: int,
    timeout_seconds: float | None = None,
) -> list[HostRun]:
    """Run a program on all machines at the same time.

    Args:
        logins: The settings of each login, by name.
        program: For /bin/sh there; its complaints come with its output.
        on_line: Called with a name and a line, from any thread, one call at a time.
        n_parallel: The most machines at the same time.
        timeout_seconds: The time after which programs that still run are ended; None for never.

    Returns:
        One result for each machine, in order.

    Raises:
        KeyboardInterrupt: After everything that ran has been ended.
    """
    runner = Runner()
    lock = threading.Lock()
    over = threading.Event()

    def tell(name: str, line: str) -> None:
        with lock:
            on_line(name, line)

    def stop() -> None:
        over.set()
        runner.stop()

    timer = threading.Timer(timeout_seconds, stop) if timeout_seconds is not None else None
    with ThreadPoolExecutor(max(1, n_parallel)) as pool:
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            calls = [pool.submit(_run_at, name, logins[name], runner, program, tell, over) for name in logins]
            return [call.result() for call in calls]
        except BaseException:
            runner.stop()
            raise
        finally:
            if timer is not None:
                timer.cancel()


def _run_at(
    name: str,
    settings: TargetSettings,
    runner: Runner,
    program: str,
    tell: Callable[[str, str], None],
    over: threading.Event,
) -> HostRun:
    mark = make_mark()
    lines = LineReader(mark, lambda line: tell(name, line))
    # One stream, so that complaints stand where they belong among the lines.
    command = make_remote_command("exec 2>&1\n" + frame(f"/bin/sh -c {quote(program)}", mark))
    ssh = OpenSsh(name, settings, runner, pauses_seconds=())
    try:
        ssh.login()
        argv = [*ssh.make_session_argv(), "--", settings.host, command]
        completed = runner.stream(argv, stdin=b"", on_output=lines.feed)
    except HsmError as error:
        return HostRun(name, None, error.kind, error.message, error.hint)
    except CommandStoppedError:
        kind = "timeout" if over.is_set() else "stopped"
        return HostRun(name, None, kind, "The command had not ended when the time was over and was ended here.")
    finally:
        lines.end()
    if lines.is_whole:
        return HostRun(name, completed.returncode)
    if completed.returncode == _SSH_FAILED:
        broken = ssh.program.explain(completed.stderr_text)
        return HostRun(name, None, broken.kind, broken.message, broken.hint)
    return HostRun(name, completed.returncode, "cut_short", f"The command at {name} ended before its time.")


class LineReader:
    """Cutter of a framed program's output into lines, without the noise before it and the marks around it.

    Args:
        mark: The frame's mark.
        on_line: Called with every line, without its end.
    """

    def __init__(self, mark: str, on_line: Callable[[str], None]) -> None:
        self._begin = b"\n" + mark.encode() + b"<"
        self._end = mark.encode() + b">"
        self._on_line = on_line
        self._left = b""
        self._has_begun = False
        self.is_whole = False

    def feed(self, chunk: bytes) -> None:
        """Take a part of the output."""
        self._left += chunk
        if not self._has_begun:
            _, found, rest = self._left.partition(self._begin)
            if not found:
                # The mark may be cut between two chunks; what lies before it is noise of start-up files, however long.
                self._left = self._left[-len(self._begin) :]
                return
            self._left, self._has_begun = rest, True
        *lines, self._left = self._left.split(b"\n")
        for line in lines:
            self._tell(line)
        while len(self._left) > MAX_LINE_BYTES + len(self._end):  # the end mark may still be among the last bytes
            self._tell(self._left[:MAX_LINE_BYTES])
            self._left = self._left[MAX_LINE_BYTES:]

    def end(self) -> None:
        """Hand over the last line if it has no end. `is_whole` then tells whether the program came to its end."""
        if not self._has_begun:
            return
        self.is_whole = self._left.endswith(self._end)
        last = self._left.removesuffix(self._end)
        self._left, self._has_begun = b"", False
        if last:
            self._tell(last)

    def _tell(self, line: bytes) -> None:
        self._on_line(line.decode("utf-8", "replace").rstrip("\r"))


def get_run_exit_code(runs: Sequence[HostRun]) -> ExitCode:
    """Return DONE when the command ended well everywhere, UNREACHABLE when it ran nowhere, else PARTIAL."""
    if all(run.exit_code == 0 and not run.error for run in runs):
        return ExitCode.DONE
    return ExitCode.UNREACHABLE if all(run.exit_code is None for run in runs) else ExitCode.PARTIAL
