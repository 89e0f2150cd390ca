"""A real Slurm of the tests' own on 127.0.0.1: controller, nodes with fake GPUs, and accounting where it is asked for.

All lies in one short folder, nothing below /etc is read or written, and every daemon is stopped by its process number.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from private_sshd import list_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
NEEDED_FOR_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacct")
START_SECONDS = 60.0
GPUS = ("/dev/null", "/dev/zero")  # gres.conf needs files that are devices; nobody opens them


class ClusterError(Exception):
    """The cluster did not start."""


def find_missing(*, accounting: bool) -> str:
    """Return the first program that is missing, or nothing."""
    names = NEEDED + (NEEDED_FOR_ACCOUNTING if accounting else ())
    return next((name for name in names if shutil.which(name, path=make_path()) is None), "")


def make_path() -> str:
    """Make a PATH with the folders of daemons."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])


def take_ports(count: int) -> list[int]:
    """Take ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(frozen=True)
class ClusterOptions:
    """What a cluster is like.

    Attributes:
        n_nodes: With 4 CPUs and 2 fake GPUs each.
        accounting: Whether there is slurmdbd.
        lines: Further lines of slurm.conf.
    """

    n_nodes: int = 2
    accounting: bool = True
    lines: Sequence[str] = ()


class SlurmCluster:
    """A cluster that runs; to be stopped by `stop`.

    Args:
        folder: Short, since sockets lie in it; made here.
        options: What it is like.
    """

    def __init__(self, folder: Path, options: ClusterOptions | None = None) -> None:
        self.folder = folder
        self.options = options or ClusterOptions()
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = take_ports(3 + self.options.n_nodes)
        self._deadline = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which its commands find it."""
        return {"SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}

    def start(self) -> None:
        """Start all daemons and wait for idle nodes."""
        self._deadline = time.monotonic() + START_SECONDS
        for name in ("etc", "log", "state", "munge", "mysql"):
            (self.folder / name).mkdir(parents=True)
        self._write_key("munge/munge.key", 128)
        self._start_munge()
        if self.options.accounting:
            self._start_accounting()
        self._write("etc/slurm.conf", self._make_slurm_conf())
        self._write("etc/gres.conf", self._make_gres_conf())
        self._write("etc/cgroup.conf", ["CgroupAutomount=no", "ConstrainCores=no", "ConstrainRAMSpace=no"])
        self.start_controller()
        for number in range(1, self.options.n_nodes + 1):
            (self.folder / f"spool-n{number}").mkdir()
            self._spawn(f"slurmd{number}", ["slurmd", "-D", "-N", f"n{number}"])
        self._wait("idle nodes", self._are_nodes_idle)

    def start_controller(self) -> None:
        """Start the controller, for the first time or again."""
        self._deadline = time.monotonic() + START_SECONDS
        self._spawn("slurmctld", ["slurmctld", "-D", "-i"])
        self._wait("the controller", lambda: self.run("scontrol", "ping").returncode == 0)

    def stop(self) -> None:
        """End its jobs, then each daemon by its process number."""
        controller = self.daemons.get("slurmctld")
        if controller is not None and controller.poll() is None:
            controller.send_signal(signal.SIGCONT)
            self.run("scancel", f"--user={getpass.getuser()}", timeout=15)
            deadline = time.monotonic() + 10
            while self.run("squeue", "-h").stdout.strip() and time.monotonic() < deadline:
                time.sleep(0.1)
        order = [*(f"slurmd{n}" for n in range(1, self.options.n_nodes + 1)), "slurmctld", "slurmdbd", "mariadbd"]
        for name in [*order, "munged"]:
            self._stop(name)
        self._end_steps()

    def signal(self, daemon: str, number: signal.Signals) -> None:
        """Signal one daemon."""
        self.daemons[daemon].send_signal(number)

    def run(self, *argv: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands."""
        return subprocess.run(
            argv, env=self._make_environment(), capture_output=True, text=True, timeout=timeout, check=False
        )

    def _make_environment(self, **more: str) -> dict[str, str]:
        # HOME lies here, so that the watchdog of the tests finds the daemons.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return {**kept, **self.environment, "PATH": make_path(), "HOME": str(self.folder), **more}

    def _spawn(self, name: str, argv: Sequence[str], **more: str) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._make_environment(**more),
                start_new_session=True,
            )

    def _stop(self, name: str) -> None:
        daemon = self.daemons.pop(name, None)
        if daemon is None:
            return
        daemon.send_signal(signal.SIGCONT)
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait(10)

    def _end_steps(self) -> None:
        """End the steps of jobs, which outlive the daemons and are known by the folder of their log."""
        for process in list_processes():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process.pid}/comm").read_text() == "slurmstepd\n" and self._is_own(process.pid):
                    os.kill(process.pid, signal.SIGKILL)

    def _is_own(self, pid: int) -> bool:
        log = str(self.folder / "log")
        return any(str(link.readlink()).startswith(log) for link in Path(f"/proc/{pid}/fd").iterdir())

    def _wait(self, what: str, is_ready: Callable[[], bool]) -> None:
        while not is_ready():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > self._deadline:
                logs = "".join(path.read_text("utf-8", "replace")[-800:] for path in (self.folder / "log").glob("*"))
                raise ClusterError(f"{what} did not come up; ended: {dead}\n{logs}")
            time.sleep(0.05)

    def _are_nodes_idle(self) -> bool:
        found = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%t").stdout.split()
        return found == ["idle"] * self.options.n_nodes

    def _write_key(self, name: str, n_bytes: int) -> None:
        path = self.folder / name
        path.write_bytes(secrets.token_bytes(n_bytes))
        path.chmod(0o400)

    def _write(self, name: str, lines: Sequence[str], mode: int = 0o644) -> None:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(mode)

    @property
    def _munge_socket(self) -> Path:
        return self.folder / "munge" / "s"

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.chmod(0o755)
        self._spawn(
            "munged",
            [
                "munged", "--foreground", "--force", f"--socket={self._munge_socket}", f"--key-file={folder}/munge.key",
                f"--pid-file={folder}/pid", f"--seed-file={folder}/seed", f"--log-file={folder}/log",
            ],
        )  # fmt: skip
        self._wait("munged", lambda: self.run("munge", "-S", str(self._munge_socket), "-n").returncode == 0)

    def _start_accounting(self) -> None:
        user, folder = getpass.getuser(), self.folder / "mysql"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--innodb-log-file-size=8M", f"--user={user}"],
            env=self._make_environment(), check=True, capture_output=True, timeout=START_SECONDS,
        )  # fmt: skip
        # No password and no TCP port: the socket's owner is asked for.
        self._write(
            "mysql/init.sql",
            [
                "CREATE DATABASE IF NOT EXISTS slurm_acct_db;",
                f"CREATE OR REPLACE USER '{user}'@'localhost' IDENTIFIED VIA unix_socket;",
                f"GRANT ALL ON *.* TO '{user}'@'localhost';",
            ],
        )
        self._spawn(
            "mariadbd",
            ["mariadbd", "--no-defaults", f"--datadir={folder}/data", f"--socket={folder}/s", "--skip-networking",
             f"--pid-file={folder}/pid", f"--init-file={folder}/init.sql", "--innodb-buffer-pool-size=64M",
             "--innodb-log-file-size=8M", "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0",
             "--performance-schema=OFF", "--max-connections=40", "--skip-log-bin", f"--user={user}"],
        )  # fmt: skip
        ping = ("mariadb-admin", "--no-defaults", f"--socket={folder}/s", f"--user={user}", "ping")
        self._wait("mariadbd", lambda: self.run(*ping).returncode == 0)
        self._write("etc/slurmdbd.conf", self._make_slurmdbd_conf(), 0o600)
        self._spawn("slurmdbd", ["slurmdbd", "-D"], MYSQL_UNIX_PORT=f"{folder}/s")
        self._wait("slurmdbd", lambda: self._is_open(self._ports[1]))

    def _is_open(self, port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return True
        except OSError:
            return False

    def _make_slurmdbd_conf(self) -> list[str]:
        user = getpass.getuser()
        return [
            "AuthType=auth/munge", f"AuthInfo=socket={self._munge_socket}", "DbdHost=localhost", "DbdAddr=127.0.0.1",
            f"DbdPort={self._ports[1]}", f"SlurmUser={user}", f"PidFile={self.folder}/state/slurmdbd.pid",
            f"LogFile={self.folder}/log/slurmdbd.log", "StorageType=accounting_storage/mysql",
            "StorageHost=localhost", f"StorageUser={user}", "StorageLoc=slurm_acct_db",
        ]  # fmt: skip

    def _make_slurm_conf(self) -> list[str]:
        user, host, folder = getpass.getuser(), socket.gethostname().partition(".")[0], self.folder
        accounting = ["AccountingStorageType=accounting_storage/none"]
        if self.options.accounting:
            accounting = [
                "AccountingStorageType=accounting_storage/slurmdbd", "AccountingStorageHost=127.0.0.1",
                f"AccountingStoragePort={self._ports[1]}", f"AccountingStoragePass={self._munge_socket}",
                "AccountingStorageTRES=gres/gpu", "AccountingStoreFlags=job_comment",
            ]  # fmt: skip
        nodes = [
            f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=4000 "
            "Gres=gpu:a100:2 State=UNKNOWN"
            for number, port in enumerate(self._ports[3:], 1)
        ]
        return [
            "ClusterName=tests", f"SlurmctldHost={host}(127.0.0.1)", f"SlurmctldPort={self._ports[0]}",
            f"SlurmUser={user}", f"SlurmdUser={user}", "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
            "AuthType=auth/munge", f"AuthInfo=socket={self._munge_socket}", "CredType=cred/munge",
            f"StateSaveLocation={folder}/state", f"SlurmctldPidFile={folder}/state/slurmctld.pid",
            f"SlurmctldLogFile={folder}/log/slurmctld.log", f"SlurmdSpoolDir={folder}/spool-%n",
            f"SlurmdPidFile={folder}/state/%n.pid", f"SlurmdLogFile={folder}/log/slurmd.%n.log",
            "SlurmdParameters=config_overrides", "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none",
            "SwitchType=switch/none", "MpiDefault=none", "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory", "DefMemPerCPU=100", "SchedulerType=sched/backfill",
            "SchedulerParameters=sched_min_interval=0,sched_interval=5,bf_interval=2,batch_sched_delay=0",
            "JobAcctGatherType=jobacct_gather/linux", "JobAcctGatherFrequency=task=1", "MaxArraySize=1001",
            "ReturnToService=2", "KillWait=2", "CompleteWait=0", "SlurmdTimeout=60", "MinJobAge=300",
            "MailProg=/bin/true", "GresTypes=gpu", *accounting, *nodes,
            "PartitionName=main Nodes=ALL Default=YES MaxTime=01:00:00 DefaultTime=00:05:00 State=UP",
            "PartitionName=short Nodes=n1 MaxTime=00:02:00 DefaultTime=00:01:00 State=UP", *self.options.lines,
        ]  # fmt: skip

    def _make_gres_conf(self) -> list[str]:
        nodes = range(1, self.options.n_nodes + 1)
        return ["AutoDetect=off", *(f"NodeName=n{n} Name=gpu Type=a100 File={file}" for n in nodes for file in GPUS)]
