"""kill -9 of a clean at random moments, by ssh too: nothing is lost, and a pull brings all that was removed back.

Three runs may go. Four must stay: one has not ended, one has a note that is nowhere else, one lacks a file at the
target, and of one a file there has other bytes of the same size and time. By seed: over which route, what is killed and
when, how often, and what comes next.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.clean_project import (
    FINISHED,
    Cleaned,
    assert_nothing_lost,
    list_aside,
    read_tree,
    send,
    write_killed_run,
)
from tests.e2e.kills import (
    ROUTES,
    VICTIMS,
    Killed,
    Killer,
    Moment,
    age_marks,
    assert_nothing_of_hsm_left,
    assert_records_readable,
    call_and_kill,
    count_bytes,
    find_master,
    make_killed_project,
    put_proxy_between,
)
from tests.e2e.synthetic import write_file, write_project
from tests.marks import parametrize

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import MakeProject, Project
    from tests.e2e.proxy import LinkProxy

IS_SOAK = os.environ.get("HSM_SOAK") == "1"
NOTED, LACKING, DAMAGED = (f"run-20251020_212836-r{number:04}" for number in range(3, 6))
DEAD = "run-20251020_212836-dead"
STAYS = (NOTED, LACKING, DAMAGED, DEAD)
N_FILES = 60
BIG_BYTES = 300_000
CHANGES = "os.rename,os.remove,os.rmdir,os.mkdir,os.link"
EVERYTHING = f"{CHANGES},open,os.listdir,os.scandir,subprocess.Popen"
N_EVERYTHING = 1200
SECONDS = {"ssh, rsync": 1.6, "folder, copy": 0.7, "ssh, sftp": 2.5, "folder, rsync": 0.7}
"""By route, about as long as such a clean takes."""
ANSWERED_BYTES = 75_000
"""About as much as a target behind ssh answers."""


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@dataclass
class CleanTrial:
    """One trial: a project here, its far side, and what a seed decides.

    Attributes:
        project: Here, and its target.
        chance: Of the seed.
        proxy: Between both; None for a folder.
        killed: What was killed, call by call.
        before: Everything here before the first clean, with a word for its content.
        there: Everything at the target.
        stays: Runs that must stay.
    """

    project: Project
    chance: random.Random
    proxy: LinkProxy | None
    killed: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)
    stays: tuple[str, ...] = STAYS

    def write(self) -> None:
        """Write the runs, send them, and spoil what must then keep its run."""
        folder, far = self.project.folder, self.project.target_wandb
        for run in write_project(folder, n_runs=6):
            write_file(run / "files/big.bin", self.chance.randbytes(BIG_BYTES))
        for number in range(N_FILES):
            write_file(folder / "wandb" / FINISHED[number % 3] / f"files/more/{number}.txt", b"%d" % number)
        write_killed_run(self.project)
        send(self.project)
        write_file(folder / "wandb" / NOTED / "files/note.txt", b"only here")
        (far / LACKING / "files/output.log").unlink()
        write_file(far / DAMAGED / "files/output.log", b"Done\n" * 50)
        self.before, self.there = read_tree(folder), read_tree(self.project.target_root)

    def kill(self, victim: str, args: tuple[str, ...], moment: Moment) -> Killed:
        """Call and kill; hold what holds at every moment."""
        project = self.project
        master = find_master(project) if victim == "master" else 0
        killer = Killer(victim, self.chance, project.sshd, master)
        killed = call_and_kill(project, args, killer, moment)
        self.killed.append(f"{args[1]}: {killed.what or 'nothing'} ({killed.code})")
        assert_records_readable(project)
        self.assert_nothing_lost(may_be_half=args[1] == "from")
        return killed

    def clean_and_kill(self, victim: str, route: str) -> None:
        killed = self.kill(victim, ("sync", "clean", SWEEP, "--yes"), self.choose_moment(victim, route))
        if not killed.what:
            self.assert_cleaned(killed)

    def choose_moment(self, victim: str, route: str) -> Moment:
        way, chance = self.chance.random(), self.chance
        left = [path for name in (*FINISHED, ".hsm-clean-*") for path in self.project.folder.rglob(f"{name}/**/*")]
        if victim == "hsm" and way < 0.4:
            return Moment(n_calls=chance.randrange(1, len(left) + 20), kinds=CHANGES)
        if victim == "hsm" and way < 0.5:
            return Moment(n_calls=chance.randrange(1, N_EVERYTHING), kinds=EVERYTHING)
        if way < 0.75:
            return Moment(seconds=chance.uniform(0.2, SECONDS[route]))
        if way < 0.9 and self.proxy is not None:
            proxy = self.proxy
            return Moment(n_bytes=chance.randrange(1, ANSWERED_BYTES), meter=lambda: proxy.n_bytes)
        total = count_bytes(self.project.folder / "wandb")
        going = sum(path.stat().st_size for path in left if path.is_file())
        meter = lambda: total - count_bytes(self.project.folder / "wandb")  # noqa: E731
        return Moment(n_bytes=chance.randrange(1, going + 2), meter=meter)

    def assert_nothing_lost(self, *, may_be_half: bool = False) -> None:
        """Of everything a whole copy is somewhere, what must stay is here, and nothing at the target has gone."""
        here, there = read_tree(self.project.folder), read_tree(self.project.target_root)
        assert {name: there.get(name) for name in self.there} == self.there
        if not may_be_half:
            assert_nothing_lost(self.project, self.before, stays=self.stays)
        for name, content in self.before.items():
            assert here.get(name, content) == content, f"{name} is not whole here"
            assert content in (here.get(name), there.get(name)), f"{name} is lost"

    def assert_cleaned(self, killed: Killed) -> None:
        """A clean that went to its end has removed what may go, and nothing else."""
        assert killed.document is not None
        assert killed.code == 1, killed.document
        assert killed.document["error"] is None, killed.document
        units = Cleaned(killed.code, killed.document).units
        assert {path.name for path in (self.project.folder / "wandb").iterdir()} == set(self.stays), units

    def sync(self) -> None:
        """Bring the rest to the target: what is missing there and the note, so that two runs fewer must stay."""
        done = self.call("sync", "to", SWEEP)
        assert done.code == 0, done.document
        self.there = read_tree(self.project.target_root)
        name = f"wandb/{NOTED}/files/note.txt"
        assert self.there[name] == self.before[name]
        self.assert_nothing_lost()
        self.stays = (DAMAGED, DEAD)

    def call(self, *args: str) -> Killed:
        return call_and_kill(self.project, args, Killer("", self.chance), Moment())

    def go_on(self) -> None:
        """Clean to the end, and bring everything back; by seed the pull is killed too."""
        if self.chance.random() < 0.5:
            self.sync()
        end = self.call("sync", "clean", SWEEP, "--yes")
        self.assert_cleaned(end)
        assert list_aside(self.project) == []
        self.assert_nothing_lost()
        assert_nothing_of_hsm_left(self.project)
        if self.chance.random() < 0.4:
            moment = Moment(seconds=self.chance.uniform(0.2, 1.5))
            self.kill("hsm", ("sync", "from", SWEEP), moment)
            age_marks(self.project)
        back = self.call("sync", "from", SWEEP)
        assert back.code == 0, back.document
        assert {name: read_tree(self.project.folder).get(name) for name in self.before} == self.before
        assert_nothing_of_hsm_left(self.project)
        if self.chance.random() < 0.3:
            self.sync()
            self.assert_cleaned(self.call("sync", "clean", SWEEP, "--yes"))


def crash_and_go_on(make_project: MakeProject, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    route = ROUTES[seed % len(ROUTES)]
    victims = VICTIMS[route]
    project = make_killed_project(make_project, tmp_path, route)
    with ExitStack() as stack:
        proxy = None
        if route.startswith("ssh"):
            proxy = stack.enter_context(put_proxy_between(project, counts_answers=True))
        trial = CleanTrial(project, chance, proxy)
        trial.write()
        for number in range(chance.choice([1, 1, 2, 3])):
            trial.clean_and_kill(victims[(seed // len(ROUTES) + number) % len(victims)], route)
        print(f"seed {seed}: {route}: {', '.join(trial.killed)}; aside: {len(list_aside(project))}")
        trial.go_on()
        print(f"seed {seed}: {', '.join(trial.killed)}")


@parametrize("seed", range(8), quick=[5])
def test_after_a_kill_nothing_is_lost_and_all_comes_back(make_project: MakeProject, tmp_path: Path, seed: int) -> None:
    crash_and_go_on(make_project, tmp_path, seed)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.skipif(not IS_SOAK, reason="HSM_SOAK=1 asks for it")
@pytest.mark.parametrize("seed", range(8, 50))
def test_after_many_kills_nothing_is_lost_and_all_comes_back(
    make_project: MakeProject, tmp_path: Path, seed: int
) -> None:
    crash_and_go_on(make_project, tmp_path, seed)
