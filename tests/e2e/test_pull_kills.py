"""kill -9 of a pull at random moments: no half file, nothing of a stranger's is replaced, the next one brings the rest.

One run of the far sweep has grown since an earlier pull, a file of another was replaced, further runs are new. By seed:
over which route, what is killed and when, how often, and what a stranger writes here before the next pull.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.clean_project import read_tree
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
    wait_until_still,
)
from tests.e2e.synthetic import T, write_file, write_project, write_run
from tests.marks import parametrize
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeProject, Project
    from tests.e2e.proxy import LinkProxy

IS_SOAK = os.environ.get("HSM_SOAK") == "1"
MB = 1_000_000
LINK_BYTES_PER_SECOND = 10 * MB
SIZES = (2 * MB, 3 * MB, 5 * MB)
N_SMALL = 60
CALLS = "os.rename,os.remove,os.rmdir,os.mkdir,os.link,open,os.utime,shutil.copyfile"
N_CALLS = {"ssh, rsync": 520, "folder, copy": 1200, "ssh, sftp": 1240, "folder, rsync": 580}
SECONDS = {"ssh, rsync": 2.0, "folder, copy": 0.6, "ssh, sftp": 2.5, "folder, rsync": 0.6}
"""By route, about how many calls such a pull makes, and how long it takes."""
AN_HOUR = 3600 * 10**9


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@dataclass
class PullTrial:
    """One trial: a project here, its far side, and what a seed decides.

    Attributes:
        project: Here, and its target.
        chance: Of the seed.
        proxy: Between both; None for a folder.
        killed: What was killed, call by call.
        older: Content of files here that an earlier pull brought and that are others at the far side now.
        strange: What a stranger wrote here.
    """

    project: Project
    chance: random.Random
    proxy: LinkProxy | None
    killed: list[str] = field(default_factory=list)
    older: dict[str, bytes] = field(default_factory=dict)
    strange: dict[str, bytes] = field(default_factory=dict)

    def write_far(self) -> None:
        """Write the far sweep, pull it, and let it grow."""
        root, chance = self.project.target_root, self.chance
        runs = write_project(root, n_runs=3)
        write_file(runs[0] / "run-r0000.wandb", w.frame([w.run("r0000", group=SWEEP), w.history({"loss": 0.5}, 1)]))
        write_file(runs[0] / "files/big.bin", chance.randbytes(MB))
        write_file(runs[1] / "files/big.bin", chance.randbytes(MB))
        assert self.pull().code == 0
        before = self.read_far()
        write_run(root / "wandb", "r0000")
        later = T + AN_HOUR
        big = (runs[0] / "files/big.bin").read_bytes() + chance.randbytes(SIZES[0])
        write_file(runs[0] / "files/big.bin", big, mtime_ns=later)
        write_file(runs[0] / "run-r0000.wandb", (runs[0] / "run-r0000.wandb").read_bytes(), mtime_ns=later)
        write_file(runs[1] / "files/big.bin", chance.randbytes(SIZES[1]), mtime_ns=later)
        for number in range(3):
            files = {f"more/{name}.txt": b"%d" % name * 999 for name in range(N_SMALL // 3)}
            write_run(root / "wandb", f"new{number}", files={**files, "big.bin": chance.randbytes(SIZES[2] // 3)})
        now = self.read_far()
        self.older = {name: content for name, content in before.items() if content != now[name]}

    def read_far(self) -> dict[str, bytes]:
        return read_files(self.project.target_root)

    def pull(self) -> Killed:
        """Pull to the end."""
        nobody = Killer("", self.chance)
        return call_and_kill(self.project, ("sync", "from", SWEEP, "-v"), nobody, Moment())

    def pull_and_kill(self, victim: str, route: str) -> Killed:
        chance, project = self.chance, self.project
        master = find_master(project) if victim == "master" else 0
        killer = Killer(victim, chance, project.sshd, master)
        args = ("sync", "from", SWEEP)
        killed = call_and_kill(project, args, killer, self.choose_moment(victim, route))
        self.killed.append(f"{killed.what or 'nothing'} ({killed.code})")
        if not killed.what:
            assert killed.code == 0, killed.document
        return killed

    def choose_moment(self, victim: str, route: str) -> Moment:
        way, chance = self.chance.random(), self.chance
        if victim == "hsm" and way < 0.3:
            return Moment(n_calls=chance.randrange(1, N_CALLS[route]), kinds=CALLS)
        if way < 0.6:
            return Moment(seconds=chance.uniform(0.1, SECONDS[route]))
        n_bytes = chance.randrange(1, sum(SIZES))
        if self.proxy is not None:
            proxy = self.proxy
            return Moment(n_bytes=n_bytes, meter=lambda: proxy.n_bytes)
        return Moment(n_bytes=n_bytes, meter=lambda: count_bytes(self.project.folder))

    def assert_whole(self) -> None:
        """Whatever has a final name here is the far file, its earlier version, or a stranger's."""
        far = self.read_far()
        for name, content in read_files(self.project.folder).items():
            assert content in (far[name], self.older.get(name), self.strange.get(name)), f"{name} is not whole"

    def write_strange(self) -> None:
        """Write files here as a stranger would: where something is to come, and over what came earlier or just now."""
        chance, here = self.chance, read_files(self.project.folder)
        names = chance.sample(sorted(self.read_far()), 4) + chance.sample(sorted(self.older), 1)
        for name in names:
            content = chance.randbytes(chance.choice([1, 4000, len(here.get(name, b"12"))]))
            times = (T - AN_HOUR, T + 1, T + AN_HOUR * 2, 1_700_000_000 * 10**9)
            path = self.project.folder.parent / "strange"
            write_file(path, content, mtime_ns=chance.choice(times))
            if chance.random() < 0.3:
                os.utime(path)
            final = self.project.folder / name
            final.parent.mkdir(parents=True, exist_ok=True)
            path.rename(final)
            self.strange[name] = content

    def assert_strange_stays(self) -> None:
        here = read_files(self.project.folder)
        assert {name: here.get(name) for name in self.strange} == self.strange

    def go_on(self) -> None:
        """Pull until all is here, taking away what a stranger put in the way."""
        again = self.pull()
        self.assert_strange_stays()
        self.assert_whole()
        if self.strange:
            assert again.code == 1, again.document
            assert set(list_conflicts(again)) == set(self.strange), again.document
            for name in self.strange:
                (self.project.folder / name).unlink()
            self.strange.clear()
            again = self.pull()
        assert again.code == 0, again.document
        assert read_tree(self.project.folder) == read_tree(self.project.target_root)
        age_marks(self.project)
        last = self.pull()
        assert (last.code, get_target(last)["state"]) == (0, "nothing_to_do"), last.document
        assert_records_readable(self.project)
        assert_nothing_of_hsm_left(self.project)


def get_target(killed: Killed) -> dict[str, Any]:
    assert killed.document is not None
    assert killed.document["error"] is None, killed.document["error"]
    ((target,),) = (sweep["targets"] for sweep in killed.document["sweeps"])
    found: dict[str, Any] = target
    return found


def list_conflicts(killed: Killed) -> list[str]:
    """List the files that were called conflicts before or during the transfer."""
    return [
        f"{item['root']}/{item['path']}"
        for item in get_target(killed)["plan"]
        if item["reason"] == "conflict" or item["outcome"] == "skipped"
    ]


def read_files(root: Path) -> dict[str, bytes]:
    """Read what lies below a root and is not HSM's own."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if not any(part.startswith(".hsm") for part in name.split("/")) and path.is_file():
            found[name] = path.read_bytes()
    return found


def crash_and_go_on(make_project: MakeProject, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    route = ROUTES[seed % len(ROUTES)]
    victims = VICTIMS[route]
    project = make_killed_project(make_project, tmp_path, route)
    with ExitStack() as stack:
        proxy = None
        if route.startswith("ssh"):
            proxy = stack.enter_context(put_proxy_between(project, counts_answers=True))
        trial = PullTrial(project, chance, proxy)
        trial.write_far()
        far = read_tree(project.target_root)
        if proxy is not None:
            proxy.bytes_per_second = LINK_BYTES_PER_SECOND
        is_strange = chance.random() < 0.6
        for number in range(chance.choice([1, 1, 2, 3])):
            killed = trial.pull_and_kill(victims[(seed // len(ROUTES) + number) % len(victims)], route)
            trial.assert_whole()
            assert_records_readable(project)
            if not killed.what:  # all has come
                break
        if proxy is not None:
            proxy.bytes_per_second = None
        if is_strange and killed.is_dead:
            if chance.random() < 0.5:
                wait_until_still(project.folder)
            trial.write_strange()
        print(f"seed {seed}: {route}: {', '.join(trial.killed)}; {len(trial.strange)} files of a stranger's")
        trial.go_on()
        assert read_tree(project.target_root) == far
        assert [path for path in project.target_root.rglob("*") if ".hsm" in path.name] == []


@parametrize("seed", range(8), quick=[1])
def test_after_a_kill_the_next_pull_brings_the_rest_and_replaces_nothing(
    make_project: MakeProject, tmp_path: Path, seed: int
) -> None:
    crash_and_go_on(make_project, tmp_path, seed)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.skipif(not IS_SOAK, reason="HSM_SOAK=1 asks for it")
@pytest.mark.parametrize("seed", range(8, 50))
def test_after_many_kills_the_next_pull_brings_the_rest_and_replaces_nothing(
    make_project: MakeProject, tmp_path: Path, seed: int
) -> None:
    crash_and_go_on(make_project, tmp_path, seed)
