"""Time HSM beside its peers, and write down what came out.

    python -m benchmarks.bench                 the short one: under 10 minutes, writes benchmarks/RESULTS.md
    python -m benchmarks.bench --large         the long one, step by step: call it again and it goes on
    python -m benchmarks.bench --scale 0.05    everything small, to try things out; writes .bench/RESULTS.md

All of it happens in `.bench/` in the repository; what is measured is kept there as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.local import ColdList, Report, WarmList
from benchmarks.peers import (
    BenchmarkError,
    Command,
    Contender,
    Hsm,
    LatestHsm,
    Link,
    MasterRsync,
    PerRunRsync,
    Rclone,
    Rsync,
    Session,
    SftpHsm,
    Tar,
    TooSlowError,
    TwoHsm,
    WarmHsm,
    measure_peak,
    run,
    time_command,
)
from benchmarks.proxy import ProxyProcess
from benchmarks.report import CASES, make_page, merge_parts, read_facts
from benchmarks.workloads import (
    Workload,
    change_runs,
    grow_checkpoint,
    iter_differences,
    make_workloads,
    measure_project,
    write_project,
)
from examples.demo.private_sshd import PrivateSshd

REPOSITORY = Path(__file__).resolve().parents[1]
BENCH = REPOSITORY / ".bench"
MEMORY_BYTES = 12 * 2**30
"""Free in memory, for targets to lie there: the largest project a dozen times."""
PAGE = REPOSITORY / "benchmarks" / "RESULTS.md"
START_ROUNDS = 15
SHORT_SECONDS = 560.0
"""After so long the short one skips what only rounds the picture off."""

FROM_NOTHING = ("first", "two")
"""Cases that begin with an empty target."""

Field = tuple[tuple[type[Contender], int], ...]
"""Contenders, and in how many rounds each takes part; those with a single one round the picture off."""

STEADY: Field = ((Hsm, 5), (WarmHsm, 5), (LatestHsm, 1), (Rsync, 5), (MasterRsync, 5))


@dataclass(frozen=True, slots=True)
class Step:
    """One table of the page.

    Attributes:
        workload: Its letter.
        link: The round trip.
        case: Key of `CASES`.
        field: Who takes part.
        peaks: Whose memory is measured, after the timing.
        part: Tells apart the steps that fill one table together.
        note: Said below the table.
        pulls: The files come from the other end; else they go there.
    """

    workload: str
    link: str
    case: str
    field: Field = ()
    peaks: tuple[type[Contender], ...] = ()
    part: str = ""
    note: str = ""
    pulls: bool = False

    @property
    def key(self) -> str:
        """As results name it; `report.merge_parts` takes the part off."""
        way = "/pull" if self.pulls else ""
        part = f"+{self.part}" if self.part else ""
        return f"{self.workload}/{self.link}/{self.case}{way}{part}"


def make_both_ways(*steps: Step) -> tuple[Step, ...]:
    """Make each step twice: a push, then a pull."""
    return tuple(replace(step, pulls=pulls) for step in steps for pulls in (False, True))


_FIRST_A: Field = ((Hsm, 7), (Rsync, 7), (Tar, 3), (WarmHsm, 3), (MasterRsync, 3), (LatestHsm, 1))
_FIRST_B: Field = ((Hsm, 5), (Rsync, 5), (Tar, 1), (WarmHsm, 1), (MasterRsync, 3))
_FEW: Field = ((Hsm, 3), (WarmHsm, 3), (Rsync, 3), (MasterRsync, 3))
_FIRST_FEW: Field = ((Hsm, 3), (Rsync, 3), (WarmHsm, 1), (MasterRsync, 3))
_AT_REST = "In the first round HSM looks at every file, in the others it may know that nothing has changed since."
SHORT: tuple[Step, ...] = (
    Step("-", "-", "start"),
    *make_both_ways(
        Step("A", "40 ms", "first", _FIRST_A),
        Step("A", "40 ms", "nothing", (*STEADY, (Session, 5))),
        Step("A", "40 ms", "changed", STEADY),
        Step("A", "0 ms", "first", _FIRST_A),
        Step("A", "0 ms", "nothing", (*STEADY, (Session, 5))),
        Step("A", "0 ms", "changed", STEADY),
    ),
    Step("A", "40 ms", "two", ((TwoHsm, 3), (Hsm, 3))),
    *make_both_ways(
        Step("B", "0 ms", "first", _FIRST_B),
        Step("B", "0 ms", "nothing", _FEW, note=_AT_REST),
        Step("B", "40 ms", "first", ((Hsm, 3), (Rsync, 3), (WarmHsm, 1), (MasterRsync, 1))),
        Step("B", "40 ms", "nothing", _FEW, note=_AT_REST),
        Step("L", "0 ms", "first", _FIRST_FEW),
        Step("L", "0 ms", "nothing", _FEW),
        Step("H", "0 ms", "first", _FIRST_FEW),
        Step("H", "0 ms", "nothing", _FEW),
        Step("C", "100 ms", "first", ((Hsm, 2), (Rsync, 1))),
        Step("C", "100 ms", "append", ((Hsm, 1), (Rsync, 1))),
    ),
)
_PER_RUN: Field = ((PerRunRsync, 1),)
LARGE: tuple[Step, ...] = (
    *make_both_ways(
        Step("C", "100 ms", "first", ((Hsm, 3), (Rsync, 3), (Tar, 1))),
        Step(
            "B",
            "40 ms",
            "first",
            ((Hsm, 7), (SftpHsm, 3), (Rsync, 7), (Tar, 3), (WarmHsm, 1), (MasterRsync, 1), (LatestHsm, 1)),
        ),
        Step("B", "40 ms", "nothing", (*_FEW, (LatestHsm, 3)), note=_AT_REST),
        Step("B", "40 ms", "changed", (*_FEW, (LatestHsm, 3))),
        Step("E", "40 ms", "first", _FIRST_FEW, peaks=(Hsm, Rsync)),
        Step("E", "40 ms", "nothing", _FEW, peaks=(WarmHsm, MasterRsync), note=_AT_REST),
    ),
    Step("E", "-", "list", ((ColdList, 5), (WarmList, 5))),
    Step("D", "40 ms", "make"),
    *make_both_ways(
        Step("D", "0 ms", "first", ((Hsm, 3), (Rsync, 3))),
        *(Step("D", "40 ms", "first", ((Hsm, 1), (Rsync, 1)), part=f"round {number}") for number in (1, 2, 3)),
        Step("D", "40 ms", "first", ((WarmHsm, 1), (MasterRsync, 1)), part="other targets"),
        Step("D", "40 ms", "first", peaks=(Hsm, Rsync), part="memory"),
        Step("D", "40 ms", "nothing", _FEW, peaks=(WarmHsm, MasterRsync), note=_AT_REST),
    ),
    Step("D", "-", "list", ((ColdList, 5), (WarmList, 5))),
    Step("R", "-", "report", ((Report, 3),), peaks=(Report,)),
    Step("S", "-", "report", ((Report, 3),), peaks=(Report,)),
    *(
        Step(name, link, case, _PER_RUN, part="per run")
        for name, link in (("A", "0 ms"), ("A", "40 ms"), ("B", "40 ms"))
        for case in ("first", "nothing", "changed")
    ),
    *(Step("A", "40 ms", case, ((Rclone, 1),), part="rclone") for case in ("first", "nothing", "changed")),
)


class Ground:
    """What all steps stand on: a private sshd, and links to it. A context manager.

    Keys and configurations lie in a temporary folder that is the user's alone, since HSM trusts no others.
    """

    def __init__(self, round_trips: Sequence[str]) -> None:
        self._round_trips = round_trips
        self._stack = contextlib.ExitStack()
        self.links: dict[str, Link] = {}
        self.scratch = Path()

    def __enter__(self) -> Ground:
        with self._stack:
            self.scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="hsmb-")))
            sshd = self._stack.enter_context(PrivateSshd(self.scratch / "sshd"))
            key = sshd.known_hosts.read_text().split(None, 1)[1]
            config = self.scratch / "ssh_config"
            for name in self._round_trips:
                ms = float(name.split()[0])
                port = self._stack.enter_context(ProxyProcess(sshd.port, round_trip_ms=ms)).port if ms else sshd.port
                aliases = (f"bench-{name.split()[0]}", f"bench-{name.split()[0]}-two")
                entry = sshd.ssh_config.read_text().replace(f"Port {sshd.port}", f"Port {port}")
                with config.open("a") as stream, sshd.known_hosts.open("a") as known:
                    stream.writelines(entry.replace(f"Host {sshd.alias}", f"Host {alias}") for alias in aliases)
                    known.write(f"[{sshd.host}]:{port} {key}")
                login = {"host": sshd.host, "port": str(port), "user": sshd.user, "key": str(sshd.identity_file)}
                login["known_hosts"] = str(sshd.known_hosts)
                self.links[name] = Link(name, aliases, config, self.scratch / f"m{ms:g}", login)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class Results:
    """What has been measured, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.steps: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def put(self, key: str, step: dict[str, Any]) -> None:
        """Keep a step, at once."""
        self.steps[key] = step
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self.steps, indent=1))
        draft.replace(self._path)


class Bench:
    """Runs steps.

    Args:
        ground: What they stand on.
        folder: Where projects lie.
        targets: Where targets lie.
        workloads: By name.
        deadline: On the monotonic clock; what rounds the picture off is skipped from then on.
    """

    def __init__(
        self,
        ground: Ground,
        folder: Path,
        targets: Path,
        workloads: dict[str, Workload],
        *,
        rounds: int,
        deadline: float,
    ) -> None:
        self._ground = ground
        self._folder = folder
        self._targets = targets
        self._workloads = workloads
        self._rounds = rounds
        self._deadline = deadline

    def run(self, step: Step) -> dict[str, Any]:
        """Run a step and return what was measured."""
        print(f"{step.key}: {CASES[step.case]}", flush=True)
        if step.case == "start":
            return {"text": CASES["start"].capitalize(), "seconds": self._time_start(), "notes": []}
        workload = self._workloads[step.workload]
        project = self._folder / workload.name / "project"
        write_project(project, workload)
        if step.case == "make":
            return {}
        targets = self._targets / workload.name
        targets.mkdir(parents=True, exist_ok=True)
        link = self._ground.links.get(step.link) or next(iter(self._ground.links.values()))

        def make(kind: type[Contender]) -> Contender:
            return kind(workload, project, targets, link, pulls=step.pulls)

        contenders = [(make(kind), n) for kind, n in step.field]
        try:
            seconds, notes = self._time_rounds(step, project, contenders)
            if step.case in ("first", "changed", "append", "two"):
                most = max(map(len, seconds.values()), default=0) if step.case not in ("first", "two") else 1
                self._verify(project, [each for each, _ in contenders if len(seconds.get(each.name, ())) >= most])
            peaks = self._measure_peaks(step, [make(kind) for kind in step.peaks])
        finally:
            for contender, _ in contenders:
                contender.close()
        n_files, n_bytes = measure_project(project)
        way = "pull, " if step.pulls else ""
        text = ", ".join([workload.name, *([] if step.link == "-" else [step.link])]) + f": {way}{CASES[step.case]}"
        notes.insert(0, f"{workload.text}; {n_files:,} files, {n_bytes / 1e6:,.1f} MB.")
        notes.extend([step.note] if step.note else [])
        sizes = {each.name: each.measure_size() for each, _ in contenders if each.measure_size()}
        return {"text": text, "seconds": seconds, "peaks": peaks, "sizes": sizes, "notes": notes}

    def _time_start(self) -> dict[str, list[float]]:
        commands = {
            "hsm --version": [str(Path(sys.executable).with_name("hsm")), "--version"],
            "python -c 'import typer'": [sys.executable, "-c", "import typer"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(START_ROUNDS + 1):
            for name, argv in commands.items():
                found = time_command(Command(argv, BENCH), self._ground.scratch).seconds
                if number:  # the first one fills caches
                    seconds[name].append(found)
        return seconds

    def _time_rounds(
        self, step: Step, project: Path, contenders: Sequence[tuple[Contender, int]]
    ) -> tuple[dict[str, list[float]], list[str]]:
        seconds: dict[str, list[float]] = {}
        notes: list[str] = []
        most = max((n for _, n in contenders), default=0)
        for number in range(min(most, self._rounds or most)):
            self._change(step, project, number)
            taking_part = [(contender, n) for contender, n in contenders if number < n]
            turn = number % len(taking_part)
            for contender, n_rounds in [*taking_part[turn:], *taking_part[:turn]]:
                if n_rounds == 1 and time.monotonic() > self._deadline:
                    notes.append(f"{contender.name}: skipped, the time was up.")
                    continue
                try:
                    found = self._time_once(step, contender, project)
                except TooSlowError as error:
                    notes.append(f"{contender.name}: {error}.")
                    continue
                seconds.setdefault(contender.name, []).append(found)
                print(f"  {number + 1} {contender.name:<28} {found:8.3f} s", flush=True)
        return {
            contender.name: seconds[contender.name] for contender, _ in contenders if contender.name in seconds
        }, notes

    def _change(self, step: Step, project: Path, number: int) -> None:
        """Change the source as the case wants it, once for all who take part in a round."""
        turn = zlib.crc32(f"{step.link} {step.pulls}".encode()) + number  # other runs each time
        if step.case == "changed":
            change_runs(project, fraction=0.05, turn=turn)
        elif step.case == "append":
            grow_checkpoint(project, turn=turn)
        if step.case not in FROM_NOTHING and not step.pulls:
            _copy_folder(project / ".hsm" / "cache", self._ground.scratch / "cache")

    def _time_once(self, step: Step, contender: Contender, project: Path) -> float:
        if step.case in FROM_NOTHING:
            contender.reset()
        cache = project / ".hsm" / "cache"
        # Nobody profits from what another one has read in this round, or suffers from what another version has written.
        # In a pull each has a cache of its own, where it pulls to.
        kept = self._ground.scratch / f"cache-{step.key.replace('/', '-')}-{contender.name}"
        shares = step.case not in FROM_NOTHING and not step.pulls and isinstance(contender, Hsm)
        if shares:
            _copy_folder(kept if kept.exists() else self._ground.scratch / "cache", cache)
        contender.prepare()
        if step.case in ("first", "append"):
            os.sync()
        seconds = time_command(contender.make_command(), self._ground.scratch).seconds
        if shares:
            _copy_folder(cache, kept)
        return seconds

    def _verify(self, project: Path, contenders: Sequence[Contender]) -> None:
        for contender in contenders:
            for folder in contender.arrivals:
                wrong = list(iter_differences(project, folder, is_partial=not contender.sends_all))
                if wrong:
                    raise BenchmarkError(f"{contender.name} did not bring what it should: {', '.join(wrong[:5])}")

    def _measure_peaks(self, step: Step, contenders: Sequence[Contender]) -> dict[str, tuple[int, int]]:
        peaks: dict[str, tuple[int, int]] = {}
        for contender in contenders:
            if step.case in FROM_NOTHING:
                contender.reset()
            contender.prepare()
            peak = measure_peak(contender.make_command(), self._ground.scratch)
            contender.close()
            if peak is not None:
                peaks[contender.name] = (peak.program, peak.children)
        return peaks


def _copy_folder(source: Path, target: Path) -> None:
    """Make `target` what `source` is; missing is missing."""
    shutil.rmtree(target, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, target)


def check_programs() -> None:
    """Say at once what is missing.

    Raises:
        BenchmarkError: A program that every step needs is not installed.
    """
    missing = [name for name in ("rsync", "ssh", "tar", "xargs") if shutil.which(name) is None]
    if missing:
        raise BenchmarkError(f"not installed: {', '.join(missing)}")


def select_steps(steps: Iterable[Step], pattern: str) -> list[Step]:
    """The steps that were asked for and can be run here."""
    has_rclone = shutil.which("rclone") is not None
    return [step for step in steps if re.search(pattern, step.key) and (has_rclone or step.part != "rclone")]


def run_steps(steps: Sequence[Step], results: Results, bench: Bench, stamp: str) -> None:
    """Run the steps that have no results yet, and keep each as soon as it is done."""
    for step in steps:
        if step.key not in results.steps:
            begin = time.monotonic()
            found = bench.run(step)
            if found:
                found["notes"].append(f"Measured {stamp}.")
            results.put(step.key, found)
            print(f"  ({time.monotonic() - begin:.0f} s in all)", flush=True)


def write_page(path: Path, parts: Iterable[Path], stamp: str) -> None:
    """Write the page from all that has been measured."""
    found = {key: step for part in parts if part.exists() for key, step in json.loads(part.read_text()).items()}
    page = make_page(merge_parts(found), read_facts(str(REPOSITORY), stamp))
    path.write_text(page)
    print(f"\n{page}\nWritten: {path}", flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Time HSM beside the ways people do the same without it.")
    parser.add_argument("--large", action="store_true", help="the long one; a second call goes on")
    parser.add_argument("--scale", type=float, default=1.0, help="make the workloads smaller, to try things out")
    parser.add_argument("--rounds", type=int, default=0, help="at most so many rounds")
    parser.add_argument("--only", default="", metavar="REGEX", help="only the steps whose key matches: 'A/40 ms'")
    return parser.parse_args()


def main() -> int:
    """Run what the command line asks for, and return the exit code."""
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin = time.monotonic()
    is_trial = arguments.scale != 1 or arguments.rounds or (arguments.only and not arguments.large)
    place = BENCH / f"trial-{arguments.scale:g}" if is_trial else BENCH
    name = "large" if arguments.large else "short"
    if not arguments.large:
        shutil.rmtree(place / name, ignore_errors=True)
        (place / "short.json").unlink(missing_ok=True)
    targets = find_target_folder(place / name)
    if not arguments.large:
        shutil.rmtree(targets, ignore_errors=True)
    (place / name).mkdir(parents=True, exist_ok=True)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    stamp += f", the machine's load before: {os.getloadavg()[0]:.1f}"
    steps = select_steps(LARGE if arguments.large else SHORT, arguments.only)
    try:
        check_programs()
        warm_up()
        with Ground(["0 ms", "40 ms", "100 ms"]) as ground:
            deadline = float("inf") if arguments.large else begin + SHORT_SECONDS
            workloads = make_workloads(arguments.scale)
            bench = Bench(ground, place / name, targets, workloads, rounds=arguments.rounds, deadline=deadline)
            run_steps(steps, Results(place / f"{name}.json"), bench, stamp)
    except BenchmarkError as error:
        print(f"\nThe benchmark cannot go on: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    shutil.rmtree(place / name)
    shutil.rmtree(targets, ignore_errors=True)
    write_page(place / "RESULTS.md" if is_trial else PAGE, [place / "short.json", place / "large.json"], stamp)
    print(f"It took {(time.monotonic() - begin) / 60:.1f} minutes.")
    return 0


def find_target_folder(place: Path) -> Path:
    """Choose where targets lie: in memory where there is room, so that no disk's moods are measured, or in `place`."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_BYTES:
        digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:8]
        return memory / f"hsm-bench-{os.getuid()}-{digest}"
    return place


def warm_up() -> None:
    """Let Python keep what it compiles of HSM, as after any installation."""
    run(Command([sys.executable, "-m", "compileall", "-q", str(REPOSITORY / "hsm")], BENCH), check=False)


if __name__ == "__main__":
    sys.exit(main())
