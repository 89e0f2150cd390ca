"""A private OpenSSH server on 127.0.0.1, for the demo and for the tests.

It has its own host key, its own user key and its own port, and keeps all of it in one folder. It reads
and writes nothing of the user's `~/.ssh`, and every command that a client sends runs in a home folder of
its own, so that `~/...` paths and a `.bashrc` can be tried out without touching the real ones.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

HOST = "127.0.0.1"

_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/sbin", "/opt/local/sbin")
_SFTP_FOLDERS = ("/usr/lib/openssh", "/usr/libexec/openssh", "/usr/libexec", "/usr/lib/ssh", "/usr/lib/misc")
# Branches of the session script. The text is what OpenSSH's `ForceCommand internal-sftp` says.
_ANY_COMMAND = ("'') exec \"$SHELL\" -l ;;", '*) exec "$SHELL" -c "$SSH_ORIGINAL_COMMAND" ;;')
_SFTP_ONLY = ("*) echo 'This service allows sftp connections only.'; exit 1 ;;",)
_START_SECONDS = 10.0
_POLL_SECONDS = 0.01


class SshdError(Exception):
    """The private sshd is not installed, did not start, or did not end."""


def find_sshd() -> Path | None:
    """Return the system's sshd program, also where it is not on the user's PATH."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS])
    found = shutil.which("sshd", path=search)
    return Path(found) if found else None


def find_sftp_server() -> Path | None:
    """Return OpenSSH's stand-alone SFTP server, which is never on a PATH."""
    found = shutil.which("sftp-server", path=os.pathsep.join(_SFTP_FOLDERS))
    return Path(found) if found else None


@dataclass(frozen=True, slots=True)
class Process:
    """A living process; `started` tells it from a later one with the same number."""

    pid: int
    parent: int
    started: str


def list_processes() -> list[Process]:
    """List all living processes, zombies left out: from /proc where there is one, else from `ps`."""
    folder = Path("/proc")
    if (folder / "self" / "stat").exists():
        found = (_read_process(entry) for entry in folder.iterdir() if entry.name.isdigit())
        return [process for process in found if process is not None]
    argv = ["ps", "-axo", "pid=,ppid=,stat=,lstart="]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    fields = (line.split(None, 3) for line in lines)
    return [Process(int(pid), int(ppid), at) for pid, ppid, state, at in fields if state[0] != "Z"]


def _read_process(folder: Path) -> Process | None:
    try:
        text = (folder / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may hold blanks and brackets
    return None if fields[0] in "ZX" else Process(int(folder.name), int(fields[1]), fields[19])


def list_descendants(pid: int) -> list[Process]:
    """List the living children of a process, and theirs; parents come before their children."""
    children: dict[int, list[Process]] = {}
    for process in list_processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def _send_signal(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


def kill_descendants(pid: int, *, timeout_seconds: float = 5.0) -> None:
    """Kill all descendants of a process, and wait until they are gone.

    They are stopped first, from the top: a stopped process starts no further ones behind our back.

    Raises:
        SshdError: Some are still there after `timeout_seconds`.
    """
    frozen: set[Process] = set()
    while new := set(list_descendants(pid)) - frozen:
        _send_signal(new, signal.SIGSTOP)
        frozen |= new
    _send_signal(frozen, signal.SIGKILL)
    names = {(process.pid, process.started) for process in frozen}
    deadline = time.monotonic() + timeout_seconds
    while names & {(process.pid, process.started) for process in list_processes()}:
        if time.monotonic() > deadline:
            raise SshdError(f"processes below {pid} outlive SIGKILL: {sorted(names)}")
        time.sleep(_POLL_SECONDS)


@functools.cache
def _accepts_setting(sshd: Path, host_key: Path, setting: str) -> bool:
    argv = [str(sshd), "-t", "-f", "/dev/null", "-h", str(host_key), "-o", setting]
    return subprocess.run(argv, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _quote(path: Path, *, has_tokens: bool = False) -> str:
    """Quote a path for sshd_config or ssh_config; in some settings `%` begins a token."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.replace("%", "%%") if has_tokens else text}"'


class PrivateSshd:
    """One private sshd. A context manager: started on entry, stopped on exit.

    The port is chosen at the first start and kept over `restart()`. Logs go on over restarts.

    Attributes:
        folder: Where everything lies.
        home: The home folder of the commands that clients send; they start there.
        user: The account that clients log in to.
        alias: The name of the `Host` entry in `ssh_config`.
        identity_file: The private key that opens a session.
        known_hosts: A file with the host key, as `UserKnownHostsFile` wants it.
        ssh_config: A configuration for `ssh -F`: with it, `ssh -F FILE ALIAS` is all a client needs.
    """

    host = HOST

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        user: str | None = None,
        alias: str = "desktop",
        home: Path | None = None,
        shell: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
        sftp_only: bool = False,
        prefix: Sequence[str] = (),
    ) -> None:
        """Write nothing yet; `start()` does.

        Args:
            folder: A folder of its own, made when missing. Whoever logs in as another user must be able
                to enter it and the folders above.
            settings: Further lines of sshd_config; they win over the defaults. A `ForceCommand` takes
                the place of the script that sets `home`, `shell` and `environment` and notes commands.
            user: Default: who calls. Another one needs root.
            alias: The name of the `Host` entry in `ssh_config`.
            home: Default: `home` in the folder. Made when missing.
            shell: The shell that runs the clients' commands, as a login shell would: a path, or a
                name to be looked up. Default: the user's own.
            environment: Further variables of the clients' commands, e.g. a PATH without rsync.
            sftp_only: Serve SFTP and refuse everything else, as `ForceCommand internal-sftp` does.
            prefix: A command that sshd is started by, and that ends as sshd itself, e.g. `unshare --mount ...`.
        """
        account = pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())
        self.folder = folder.absolute()
        self.user = account.pw_name
        self.alias = alias
        self.home = (home or self.folder / "home").absolute()
        self.identity_file = self.folder / "user_key"
        self.known_hosts = self.folder / "known_hosts"
        self.ssh_config = self.folder / "ssh_config"
        self._account = account
        self._shell = shutil.which(shell or account.pw_shell or "/bin/sh")
        self._settings = dict(settings or {})
        self._environment = dict(environment or {})
        self._sftp_only = sftp_only
        self._prefix = tuple(prefix)
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if self._shell is None:
            raise SshdError(f"no such shell: {shell or account.pw_shell}")

    def __enter__(self) -> PrivateSshd:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port that it listens on; known from the first start on."""
        if self._port is None:
            raise SshdError("the port is known once the private sshd has been started")
        return self._port

    @property
    def is_running(self) -> bool:
        """Whether the listening process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return when it listens; nothing happens when it runs already.

        Raises:
            SshdError: There is no sshd, or it did not start; the text holds what sshd said.
        """
        if self.is_running:
            return
        sshd = find_sshd()
        if sshd is None:
            raise SshdError("no sshd on this machine; it comes with the package openssh-server")
        self._write_files()
        deadline = time.monotonic() + _START_SECONDS
        while not self._start_once(sshd, self._port or _find_free_port()):
            if time.monotonic() > deadline:
                raise SshdError(f"no free port for the private sshd:\n{self.log_text()[-2000:]}")
            time.sleep(10 * _POLL_SECONDS)
        atexit.register(self.stop)

    def stop(self, *, kill_sessions: bool = True) -> None:
        """End the listening process, and with it (unless told not to) all sessions and what they run.

        A second call does nothing. Clients see their connection close.
        """
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None:
            return
        if kill_sessions and process.poll() is None:
            process.send_signal(signal.SIGSTOP)  # it takes no new connection from here on
            kill_descendants(process.pid)
        process.kill()
        process.wait()
        (self.folder / "sshd.pid").unlink(missing_ok=True)

    def restart(self, *, kill_sessions: bool = True) -> None:
        """Stop it and start it again on the same port with the same keys."""
        self.stop(kill_sessions=kill_sessions)
        self.start()

    def kill_sessions(self) -> None:
        """Drop all open connections and end what they run; it goes on listening."""
        if self._process is not None and self.is_running:
            kill_descendants(self._process.pid)

    def count_connections(self) -> int:
        """Count the connections that are open now; a shared login is one, whatever runs over it."""
        if self._process is None:
            return 0
        return sum(process.parent == self._process.pid for process in list_descendants(self._process.pid))

    def log_text(self) -> str:
        """Return all that sshd has logged since the folder was made or `clear_log()` was called."""
        log = self.folder / "sshd.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def clear_log(self) -> None:
        """Empty the log and the list of commands, so that counts begin anew."""
        for name in ("sshd.log", "commands"):
            os.truncate(self.folder / name, 0)

    def count_logins(self) -> int:
        """Count the accepted logins in the log; sshd's further "Accepted key" lines do not count."""
        return self.log_text().count("Accepted publickey for ")

    def count_sessions(self) -> int:
        """Count the sessions in the log: commands, shells and subsystems, also those over one login."""
        return self.log_text().count("Starting session: ")

    def read_commands(self) -> list[str]:
        """Return what clients have asked for, in order: commands as sent, `""` for a shell.

        An SFTP session shows as `internal-sftp`. Nothing is noted under a `ForceCommand` of the caller's.
        """
        return (self.folder / "commands").read_text(errors="replace").split("\0")[:-1]

    def wait_quiet(self, *, quiet_seconds: float = 0.3, timeout_seconds: float = 10.0) -> None:
        """Wait until the log has not grown for `quiet_seconds`; open but idle connections do not matter.

        Raises:
            SshdError: It still grows after `timeout_seconds`.
        """
        log = self.folder / "sshd.log"
        deadline = time.monotonic() + timeout_seconds
        size, since = -1, time.monotonic()
        while time.monotonic() - since < quiet_seconds:
            if (now := log.stat().st_size) != size:
                size, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise SshdError(f"the private sshd is still busy after {timeout_seconds} s")
            time.sleep(_POLL_SECONDS)

    def wait_no_connections(self, *, timeout_seconds: float = 10.0) -> None:
        """Wait until all clients have gone.

        Raises:
            SshdError: Some are still there after `timeout_seconds`.
        """
        deadline = time.monotonic() + timeout_seconds
        while n_open := self.count_connections():
            if time.monotonic() > deadline:
                raise SshdError(f"{n_open} connections are still open after {timeout_seconds} s")
            time.sleep(_POLL_SECONDS)

    def _write_files(self) -> None:
        for folder in (self.folder, self.home, self.folder / "empty"):
            folder.mkdir(parents=True, exist_ok=True)
        for name in ("host_key", "user_key"):
            if not (self.folder / name).exists():
                argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name]
                subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, cwd=self.folder)
        script = self.folder / "session.sh"
        script.write_text(self._make_session_script())
        script.chmod(0o755)
        (self.folder / "commands").touch()
        if self._account.pw_uid != os.getuid():
            self.folder.chmod(0o755)
            (self.folder / "commands").chmod(0o666)
            os.chown(self.home, self._account.pw_uid, self._account.pw_gid)

    def _start_once(self, sshd: Path, port: int) -> bool:
        """Start the process; false when the port is taken."""
        config, log = self.folder / "sshd_config", self.folder / "sshd.log"
        config.write_text(self._make_sshd_config(sshd, port))
        known = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                [*self._prefix, str(sshd), "-D", "-f", str(config), "-E", str(log)],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
            )
        self._process = process
        if self._wait_for_start(process):
            self._port = port
            self._write_client_files()
            return True
        self._process = None
        process.kill()
        process.wait()
        return self._check_refusal(log.read_bytes()[known:].decode(errors="replace"))

    def _wait_for_start(self, process: subprocess.Popen[bytes]) -> bool:
        pid_file = self.folder / "sshd.pid"  # written once it listens
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if pid_file.exists():
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _check_refusal(self, said: str) -> bool:
        """Return false where another attempt may help, and raise where not."""
        missing = re.search(r"Missing privilege separation directory: (/\S+)", said)
        if missing and os.geteuid() == 0:
            Path(missing[1]).mkdir(mode=0o755, parents=True, exist_ok=True)  # another sshd may have been first
            return False
        if "Address already in use" in said:
            return False
        raise SshdError(f"the private sshd did not start:\n{said}")

    def _make_session_script(self) -> str:
        """Make the script that stands between sshd and the shell.

        sshd's own `SetEnv HOME` would leave the working folder in the real home, which is where the
        relative paths of rsync and SFTP begin. The login shell that sshd starts the script with gets
        an empty home, and SHLVL is unset, so that a `.bashrc` is read once, as after any login.
        """
        variables = {**self._environment, "HOME": str(self.home), "SHELL": str(self._shell)}
        sftp = find_sftp_server()
        lines = [
            "#!/bin/sh",
            f"printf '%s\\0' \"${{SSH_ORIGINAL_COMMAND-}}\" >> {shlex.quote(str(self.folder / 'commands'))}",
            *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
            "cd || exit 1",
            "unset SHLVL OLDPWD",
            "case ${SSH_ORIGINAL_COMMAND-} in",
            f"internal-sftp) exec {shlex.quote(str(sftp or '/nonexistent/sftp-server'))} ;;",
            *(_SFTP_ONLY if self._sftp_only else _ANY_COMMAND),
            "esac",
        ]
        return "\n".join(lines) + "\n"

    def _make_sshd_config(self, sshd: Path, port: int) -> str:
        # ForceCommand goes through the user's login shell; single quotes mean the same to all of them.
        command, home = shlex.quote(str(self.folder / "session.sh")), self.folder / "empty"
        if any(name.lower() == "forcecommand" for name in self._settings):
            home = self.home
        settings = {
            "ListenAddress": HOST,
            "Port": str(port),
            "HostKey": _quote(self.folder / "host_key"),
            "PidFile": _quote(self.folder / "sshd.pid"),
            "AuthorizedKeysFile": _quote(self.folder / "user_key.pub", has_tokens=True),
            "AllowUsers": self.user,
            "PermitRootLogin": "yes" if self._account.pw_uid == 0 else "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "UsePAM": "no",
            "StrictModes": "no",
            "PermitUserRC": "no",
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "UseDNS": "no",
            "LogLevel": "VERBOSE",
            "MaxStartups": "200",
            "Subsystem": "sftp internal-sftp",
            "SetEnv": f"HOME={_quote(home)}",
            "ForceCommand": command,
        }
        if _accepts_setting(sshd, self.folder / "host_key", "PerSourcePenalties=no"):
            settings["PerSourcePenalties"] = "no"
        own = {name.lower() for name in self._settings}
        lines = {name: value for name, value in settings.items() if name.lower() not in own}
        return "".join(f"{name} {value}\n" for name, value in {**lines, **self._settings}.items())

    def _write_client_files(self) -> None:
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[{HOST}]:{self.port} {kind} {key}\n")
        settings = {
            "HostName": HOST,
            "Port": str(self.port),
            "User": self.user,
            "IdentityFile": _quote(self.identity_file, has_tokens=True),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": _quote(self.known_hosts, has_tokens=True),
            "GlobalKnownHostsFile": "/dev/null",
        }
        lines = [f"Host {self.alias}", *(f"    {name} {value}" for name, value in settings.items())]
        self.ssh_config.write_text("\n".join(lines) + "\n")
        self.ssh_config.chmod(0o600)
