"""Time `hsm sync to` over SFTP beside the same over rsync, on the same files and the same link.

    python -m benchmarks.sftp                       many files of 53 kB, tiny files, a few large ones; 40 ms
    python -m benchmarks.sftp --round-trip-ms 100 --workloads A --rounds 5

All of it happens in `.bench/sftp` in the repository, and goes away at the end. What is sent is compared with the source
each time. The goal: SFTP takes at most three times as long as rsync.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.peers import Command, run
from benchmarks.proxy import ProxyProcess
from benchmarks.workloads import SWEEP, Workload, iter_differences, make_workloads, write_project
from examples.demo.private_sshd import PrivateSshd

FOLDER = Path(__file__).resolve().parents[1] / ".bench" / "sftp"
ENGINES = ("rsync", "sftp")
GOAL = 3.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project's results go.

    Attributes:
        project: The source.
        sshd: Reached over the link.
        port: Of the link.
    """

    project: Path
    sshd: PrivateSshd
    port: int

    def find_target(self, engine: str) -> Path:
        """The folder at the other end."""
        return self.project.parent / f"by-{engine}"

    def write_config(self) -> None:
        """One target for each engine."""
        targets = {}
        for engine in ENGINES:
            there = self.find_target(engine)
            targets[engine] = {
                "host": self.sshd.host,
                "user": self.sshd.user,
                "port": self.port,
                "engine": engine,
                "paths": {"sweeps": str(there / "sweeps"), "wandb": str(there / "wandb")},
                "options": {"latest_only": False, "max_depth": None},
                "ssh": {
                    "identity_file": str(self.sshd.identity_file),
                    "options": {"UserKnownHostsFile": str(self.sshd.known_hosts)},
                },
            }
        folder = self.project / ".hsm"
        folder.mkdir(exist_ok=True)
        (folder / "sync_config.yaml").write_text(yaml.safe_dump({"sync_targets": targets}))

    def time_sync(self, engine: str) -> float:
        """Seconds of a first sync without an open login.

        Raises:
            BenchmarkError: It failed.
        """
        shutil.rmtree(self.find_target(engine), ignore_errors=True)
        shutil.rmtree(self.project / ".hsm" / "sync" / engine, ignore_errors=True)
        shutil.rmtree(self.project / ".hsm" / "cache", ignore_errors=True)
        run(self._make_command("sync", "logout", engine), check=False)
        begin = time.monotonic()
        run(self._make_command("sync", "to", SWEEP, "--target", engine, "-q"))
        seconds = time.monotonic() - begin
        differences = list(iter_differences(self.project, self.find_target(engine)))
        if differences:
            raise SystemExit(f"{engine}: {differences[:3]}")
        return seconds

    def _make_command(self, *words: str) -> Command:
        return Command([str(Path(sys.executable).with_name("hsm")), *words], self.project)


def measure(workload: Workload, sshd: PrivateSshd, port: int, n_rounds: int) -> dict[str, list[float]]:
    """Time both engines, in turns."""
    project = FOLDER / workload.name / "project"
    write_project(project, workload)
    place = Place(project, sshd, port)
    place.write_config()
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(n_rounds):
        for engine in ENGINES:
            seconds[engine].append(place.time_sync(engine))
    shutil.rmtree(project.parent)
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a table; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description="Time SFTP beside rsync.")
    parser.add_argument("--round-trip-ms", type=float, default=40.0)
    parser.add_argument("--scale", type=float, default=1.0, help="make everything smaller, to try things out")
    parser.add_argument("--workloads", default="AEC", help="letters of benchmarks.workloads")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    workloads = make_workloads(arguments.scale)
    worst = 0.0
    with (
        PrivateSshd(FOLDER / "sshd") as sshd,
        ProxyProcess(sshd.port, round_trip_ms=arguments.round_trip_ms) as link,
    ):
        kind, key = (sshd.folder / "host_key.pub").read_text().split()[:2]
        sshd.known_hosts.write_text(f"[{sshd.host}]:{link.port} {kind} {key}\n")
        for letter in arguments.workloads:
            found = measure(workloads[letter], sshd, link.port, arguments.rounds)
            rsync, sftp = (statistics.median(found[engine]) for engine in ENGINES)
            worst = max(worst, sftp / rsync)
            print(f"{letter}, {arguments.round_trip_ms:g} ms: {workloads[letter].text}")
            print(f"   rsync {rsync:6.1f} s   SFTP {sftp:6.1f} s   {sftp / rsync:.1f} times", flush=True)
    shutil.rmtree(FOLDER)
    return int(worst > GOAL)


if __name__ == "__main__":
    sys.exit(main())
