"""Pushes to disks that keep less than the source's: measured once, and in doubt the content tells."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.endpoint import Survey, Tree
from hsm.errors import ExitCode, TargetError
from hsm.model import Root
from hsm.plan.disk.file_system import SECOND_NS, FileSystem, Rounding
from hsm.process.runner import CommandStoppedError
from hsm.project_folder import ProjectFolder
from hsm.sync.bring.push import push
from hsm.sync.reports import State, TargetReport
from hsm.transfer.base import Batch, Comparison
from tests.e2e.synthetic import T
from tests.fake_target import FakeTarget, fail
from tests.unit.sync.bring.conftest import ONE, FakeSession, Workbench

HOUR = 3600 * SECOND_NS
SECONDS = FileSystem(step_ns=SECOND_NS, earliest_ns=-(2**31) * SECOND_NS, latest_ns=(2**31 - 1) * SECOND_NS)
FAT = FileSystem(step_ns=2 * SECOND_NS, earliest_ns=315_532_800 * SECOND_NS, folds_case=True)
ROUNDED_UP = FileSystem(step_ns=2 * SECOND_NS, rounding=Rounding.UP)
NTFS = FileSystem(step_ns=100)
NO_TIMES = FileSystem(keeps_times=False)


class Push:
    """A project with one sweep, pushed to one target again and again."""

    def __init__(self, bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.target = bench.targets["desktop"]
        self.compared: list[str] = []
        make = self.target.make_engine

        def make_engine(*words: object, **options: object) -> object:
            engine = make(*words, **options)  # type: ignore[arg-type]
            compare: Callable[[Batch], Comparison] = engine.compare

            def note(batch: Batch) -> Comparison:
                self.compared += [file.path for file in batch.files]
                return compare(batch)

            monkeypatch.setattr(engine, "compare", note)
            return engine

        monkeypatch.setattr(self.target, "make_engine", make_engine)
        self.slept: list[float] = []
        monkeypatch.setattr(bench.runner, "sleep", self.slept.append)

    def run(self, target: FakeTarget | None = None, **options: object) -> TargetReport:
        self.compared.clear()
        self.target.script.seen.clear()
        session = FakeSession({"desktop": target or self.target})
        request = self.bench.request(ONE, targets=("desktop",), **options)
        report = push(self.bench.load(), request, runner=self.bench.runner, reporter=self.bench, session=session)
        return report.sweeps[0].targets[0]

    @property
    def seen(self) -> list[str]:
        found = [moment for moment in self.target.script.seen if moment in ("take", "probe", "send")]
        return list(dict.fromkeys(found))  # one batch for each root

    def here(self, name: str = "output.log", run: str = "0") -> Path:
        return next(self.bench.project.glob(f"wandb/*{run}/files/{name}"))

    def there(self, name: str = "output.log", run: str = "0") -> Path:
        return next(Path(self.target.roots[Root.WANDB]).glob(f"*{run}/files/{name}"))

    def forget(self) -> None:
        """Be a second machine, whose journal knows nothing."""
        folder = ProjectFolder(self.bench.project).target("desktop")
        for path in [*folder.glob("*.json"), *folder.glob("*.compared"), folder / ".file-systems"]:
            path.unlink(missing_ok=True)


def rewrite(path: Path, content: bytes, mtime_ns: int) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.fixture
def trial(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Push:
    workbench.write_sweep(ONE)
    return Push(workbench, monkeypatch)


def test_the_disk_is_measured_once_and_only_where_something_is_sent(trial: Push) -> None:
    assert trial.run(is_dry_run=True).state is State.PLANNED
    assert trial.seen == []
    assert trial.run().state is State.DONE
    assert trial.seen == ["take", "probe", "send"]
    assert trial.run().state is State.NOTHING_TO_DO
    assert trial.seen == []
    rewrite(trial.here(), b"more", T + 5)
    assert trial.run().state is State.DONE
    assert trial.seen == ["take", "send"]


def test_what_was_measured_outlives_the_configuration_but_not_the_disk(
    trial: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.run()
    config = ProjectFolder(trial.bench.project).config
    config.write_text(config.read_text() + "\n")
    rewrite(trial.here(), b"more", T + 5)
    trial.run()
    assert trial.seen == ["take", "send"]
    survey = trial.target.endpoint.survey

    def other_disk(*words: object, **options: object) -> object:
        found = survey(*words, **options)  # type: ignore[arg-type]
        listings = [_name_device(listing, "/dev/sdz1 on /mnt") for listing in found.listings]
        return type(found)(found.machine, listings, found.receipts)

    monkeypatch.setattr(trial.target.endpoint, "survey", other_disk)
    rewrite(trial.here(), b"and more", T + 9)
    trial.run()
    assert trial.seen == ["take", "probe", "send"]


def test_what_still_changed_when_it_was_sent_is_sent_again_however_alike_it_looks(
    trial: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that keeps whole seconds shows the time of the first of two writes within one."""
    second = (T // SECOND_NS + 100) * SECOND_NS
    trial.target.script.at("send", lambda: rewrite(trial.here(), b"first", second))
    trial.target.script.at("sent", lambda: rewrite(trial.here(), b"final", second))
    # Instead of a further pass.
    monkeypatch.setattr(trial.bench.runner, "sleep", lambda _seconds: fail(CommandStoppedError())())
    assert "unsettled" in [problem.kind for problem in trial.run().problems]
    trial.target.script.acts.clear()
    assert trial.there().stat().st_mtime_ns == trial.here().stat().st_mtime_ns
    assert trial.there().read_bytes() != b"final"
    assert trial.run().state is State.DONE
    assert trial.there().read_bytes() == b"final"
    assert trial.run().state is State.NOTHING_TO_DO


def test_a_killed_sync_leaves_no_older_content_under_a_new_time(trial: Push) -> None:
    now = (time.time_ns() // SECOND_NS + 1) * SECOND_NS
    trial.target.script.at("send", lambda: rewrite(trial.here(), b"first", now))
    trial.target.script.at("sent", fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        trial.run()
    trial.target.script.acts.clear()
    rewrite(trial.there(), b"first", now)
    rewrite(trial.here(), b"final", now)
    trial.run()
    assert trial.there().read_bytes() == b"final"


def _name_device(listing: object, device: str) -> object:
    return type(listing)(**{**{name: getattr(listing, name) for name in listing.__slots__}, "device": device})  # type: ignore[attr-defined]


@pytest.mark.parametrize("disk", [SECONDS, FAT, ROUNDED_UP, NTFS], ids=["seconds", "FAT", "rounded up", "NTFS"])
def test_what_the_disk_keeps_of_times_is_enough_also_for_a_second_machine(trial: Push, disk: FileSystem) -> None:
    trial.target.file_system = disk
    assert trial.run().state is State.DONE
    assert trial.run().state is State.NOTHING_TO_DO
    assert trial.seen == []
    trial.forget()
    report = trial.run()
    assert (report.state, report.problems) == (State.NOTHING_TO_DO, ())
    assert trial.seen == ["take", "probe"]
    assert trial.compared == []


@pytest.mark.parametrize("disk", [SECONDS, FAT], ids=["seconds", "FAT"])
def test_one_changed_file_sends_itself_alone(trial: Push, disk: FileSystem) -> None:
    trial.target.file_system = disk
    trial.run()
    rewrite(trial.here(), b"more", T + 60 * SECOND_NS)
    report = trial.run()
    assert report.plan is not None
    assert [file.path.rpartition("/")[2] for file in report.plan.sends] == ["output.log"]
    assert {path.rpartition("/")[2] for path in trial.compared} == {"config.yaml", _get_log(report)}
    rewrite(trial.here(), b"and more", T + 90 * SECOND_NS)
    assert trial.run().state is State.DONE
    assert trial.compared == []  # what was compared once is known


def _get_log(report: TargetReport) -> str:
    assert report.plan is not None
    return next(run.log for run in report.plan.runs if run.name.endswith("0"))


def test_a_file_that_is_rewritten_within_its_second_is_sent(trial: Push) -> None:
    trial.target.file_system = SECONDS
    trial.run()
    path = trial.here()
    rewrite(path, path.read_bytes()[::-1], T + 5)
    assert trial.run().state is State.DONE
    assert trial.there().read_bytes() == path.read_bytes()


def test_a_file_that_failed_to_be_replaced_has_not_arrived_because_its_old_copy_looks_alike(trial: Push) -> None:
    trial.target.file_system = SECONDS
    trial.run()
    path = trial.here()
    rewrite(path, path.read_bytes()[::-1], T + 5)
    trial.target.script.at("send", fail(TargetError("EPERM", hint="Look.", kind="refused")), None)
    assert trial.run().exit_code is ExitCode.PARTIAL
    assert trial.run().state is State.DONE
    assert trial.there().read_bytes() == path.read_bytes()


def test_a_copy_that_is_one_second_older_is_another_file(trial: Push) -> None:
    trial.run()
    path = trial.here()
    os.utime(path, ns=(T // SECOND_NS * SECOND_NS,) * 2)
    trial.run()
    older = T // SECOND_NS * SECOND_NS - SECOND_NS
    rewrite(trial.there(), path.read_bytes()[::-1], older)
    assert trial.run().state is State.DONE
    assert trial.there().read_bytes() == path.read_bytes()


@pytest.mark.parametrize("disk", [FAT, NO_TIMES], ids=["too early for FAT", "no times at all"])
def test_a_time_that_the_disk_cannot_keep_is_sent_once(trial: Push, disk: FileSystem) -> None:
    trial.target.file_system = disk
    rewrite(trial.here(), b"old", -20 * 365 * 24 * HOUR)
    assert trial.run().state is State.DONE
    assert trial.run().state is State.NOTHING_TO_DO
    assert (trial.seen, trial.compared) == ([], [])
    trial.forget()
    assert trial.run().problems == ()
    assert "send" not in trial.seen


def test_times_that_all_are_an_hour_off_are_compared_once(trial: Push) -> None:
    trial.target.file_system = FAT
    trial.run()
    for shift in (HOUR, -HOUR):
        trial.target.endpoint.shift_ns = shift
        report = trial.run()
        assert (report.exit_code, report.problems) == (ExitCode.DONE, ())
        assert "send" not in trial.seen
        assert len(trial.compared) == 7
        trial.run()
        assert trial.compared == []


def test_an_hour_off_and_another_content_is_a_conflict(trial: Push) -> None:
    trial.target.file_system = FAT
    trial.run()
    trial.target.endpoint.shift_ns = HOUR
    there = trial.there()
    rewrite(there, there.read_bytes()[::-1], there.stat().st_mtime_ns)
    report = trial.run()
    assert [problem.kind for problem in report.problems] == ["conflict"]
    trial.run()
    assert trial.compared == []  # a conflict is no reason to read it again and again


def test_the_same_content_with_a_newer_time_is_no_conflict(trial: Push) -> None:
    trial.run()
    os.utime(trial.there())
    report = trial.run()
    assert (report.exit_code, report.problems) == (ExitCode.DONE, ())
    assert trial.compared == [next(iter(trial.compared))]


def test_a_dry_run_reads_what_only_the_content_tells_and_writes_nothing(trial: Push) -> None:
    trial.run()
    os.utime(trial.there())
    record = ProjectFolder(trial.bench.project).compared("desktop", ONE)
    assert trial.run(is_dry_run=True).problems == ()
    assert len(trial.compared) == 1
    assert not record.exists()
    trial.run()
    assert record.exists()


def test_names_that_the_disk_takes_for_one_are_neither_sent(trial: Push) -> None:
    trial.target.file_system = FileSystem(folds_case=True)
    folder = trial.here().parent
    for name in ("Model.txt", "model.txt"):
        rewrite(folder / name, name.encode(), T)
    report = trial.run()
    assert report.exit_code is ExitCode.PARTIAL
    assert sorted(problem.path.rpartition("/")[2] for problem in report.problems) == ["Model.txt", "model.txt"]
    assert not [path for path in trial.there().parent.iterdir() if path.name.lower() == "model.txt"]
    again = trial.run()
    assert again.exit_code is ExitCode.PARTIAL
    assert trial.seen == []


def test_a_name_that_the_disk_refuses_is_told_and_not_tried_again(trial: Push) -> None:
    trial.target.file_system = FileSystem(refused=(":",))
    rewrite(trial.here().parent / "epoch:3.ckpt", b"x", T)
    for expected in (["take", "probe", "send"], []):
        report = trial.run()
        assert report.exit_code is ExitCode.PARTIAL
        assert [problem.kind for problem in report.problems] == ["name_refused"]
        assert trial.seen == expected


def test_a_file_of_this_second_is_read_once_the_second_is_over(trial: Push) -> None:
    now = time.time_ns()
    rewrite(trial.here(), b"now", now // SECOND_NS * SECOND_NS + SECOND_NS)
    trial.run()
    assert max(trial.slept) > 0.5


def test_a_file_of_long_ago_waits_for_nothing(trial: Push) -> None:
    trial.run()
    assert max(trial.slept, default=0) == 0


def test_a_run_folder_that_is_there_in_another_spelling_is_left_alone(
    trial: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A survey asks for a run by its name, so that a disk that folds case shows it as if it were spelled so."""
    trial.run()
    trial.target.file_system = FileSystem(folds_case=True)
    trial.forget()
    name = trial.here().parents[1].name
    rewrite(trial.here(), b"more", T + 5)
    survey = trial.target.endpoint.survey

    def fold(trees: list[Tree], **options: object) -> Survey:
        found = survey(trees, **options)  # type: ignore[arg-type]
        if trees[0].names != ("", "outputs"):
            return found
        listings = [
            replace(
                listing,
                entries=tuple(
                    entry._replace(path=name.upper()) if entry.path == name else entry for entry in listing.entries
                ),
            )
            for listing in found.listings
        ]
        return replace(found, listings=listings)

    monkeypatch.setattr(trial.target.endpoint, "survey", fold)
    report = trial.run()
    assert [(problem.path, problem.kind) for problem in report.problems] == [(name, "name_collision")]
    assert trial.there().read_bytes() != b"more"
