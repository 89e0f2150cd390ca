"""The workflow of `verify`: what counts is compared by content, and what fails at one target concerns no other."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.errors import ExitCode, LoginRefusedError, NoAnswerError, RefusedError, UsageError
from hsm.plan.choice import RunChoice
from hsm.process.runner import CommandStoppedError
from hsm.records.cleaned import CleanedFile, CleanedUnit, Cleaning, make_cleaning_path, save_cleaning
from hsm.sync.bring.push import push
from hsm.sync.verify.report import VerifyReport, VerifyVerdict
from hsm.sync.verify.verify import verify
from tests.e2e.synthetic import write_file
from tests.fake_target import fail
from tests.unit.sync.bring.conftest import ONE, TWO, FakeSession, Workbench

RUN = "run-20251020_212836-202601010"
CONFIG = f"{RUN}/files/config.yaml"
N_FILES = 1 + 2 * 3
"""Of one sweep: its folder's file, and three in each of two runs."""


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """Return a project of which one sweep of two lies at both targets."""
    bench = Workbench(tmp_path)
    for sweep in (ONE, TWO):
        bench.write_sweep(sweep)
    session = FakeSession(bench.targets)
    report = push(bench.load(), bench.request(ONE), runner=bench.runner, reporter=bench, session=session)
    assert report.exit_code is ExitCode.DONE
    bench.events.clear()
    for target in bench.targets.values():
        target.script.seen.clear()
    return bench


def run_verify(bench: Workbench, *sweeps: str, targets: tuple[str, ...] = ("desktop",), **options: Any) -> VerifyReport:
    settings = bench.load().config.sync_targets
    return verify(
        bench.load(),
        sweeps or (ONE,),
        {name: settings[name] for name in targets},
        runner=bench.runner,
        reporter=bench,
        session=FakeSession(bench.targets),
        **options,
    )


def get_verdict(report: VerifyReport, sweep: str = ONE, number: int = 0) -> VerifyVerdict:
    return report.sweeps[sweep][number]


def there(bench: Workbench, path: str = CONFIG) -> Path:
    return bench.targets["desktop"].folder / "wandb" / path


def rewrite(path: Path) -> None:
    """Change a file's content, but neither its size nor its time."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_is_equal_is_counted(bench: Workbench) -> None:
    report = run_verify(bench, targets=("desktop", "backup"))
    assert report.exit_code is ExitCode.DONE
    assert [verdict.target for verdict in report.sweeps[ONE]] == ["desktop", "backup"]
    assert get_verdict(report) == VerifyVerdict("desktop", ExitCode.DONE, n_equal=N_FILES)
    assert bench.list_steps("desktop") == ["login", "check", "verify"]
    assert sorted(bench.list_ended()) == [("backup", "verified"), ("desktop", "verified")]


def test_it_takes_no_lock_and_writes_nothing(bench: Workbench) -> None:
    before = sorted(bench.folder.rglob("*"))
    run_verify(bench)
    assert sorted(bench.folder.rglob("*")) == before
    assert "take" not in bench.targets["desktop"].script.seen


DIFFERENCES: dict[str, tuple[Callable[[Path], object], dict[str, object]]] = {
    "another content": (rewrite, {"different": (CONFIG,), "n_equal": N_FILES - 1}),
    "another size": (lambda path: path.write_text("longer than it was"), {"different": (CONFIG,), "n_equal": 6}),
    "only another time": (lambda path: os.utime(path, (1, 1)), {"n_equal": N_FILES}),
    "gone": (lambda path: path.unlink(), {"missing": (CONFIG,), "n_equal": 6}),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), {"different": (CONFIG,), "n_equal": 6}),
    "a symlink": (lambda path: (path.unlink(), path.symlink_to("x")), {"different": (CONFIG,), "n_equal": 6}),
    "one more file": (
        lambda path: path.with_name("more").write_text("x"),
        {"only_there": (f"{RUN}/files/more",), "n_equal": N_FILES},
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_differs_is_named(bench: Workbench, name: str) -> None:
    change, expected = DIFFERENCES[name]
    change(there(bench))
    verdict = get_verdict(run_verify(bench))
    code = ExitCode.PARTIAL if "different" in expected or "missing" in expected else ExitCode.DONE
    assert replace(verdict, problems=()) == VerifyVerdict("desktop", code, **expected)  # type: ignore[arg-type]


def test_what_was_never_sent_is_missing_unless_it_does_not_count(bench: Workbench) -> None:
    write_file(bench.project / "wandb" / RUN / "files/new", b"new")
    write_file(bench.project / "wandb" / RUN / "files/id_rsa", b"a key")
    verdict = get_verdict(run_verify(bench))
    assert (verdict.missing, verdict.left, verdict.exit_code) == (
        (f"{RUN}/files/new",),
        {"secret": 1},
        ExitCode.PARTIAL,
    )


def test_what_is_not_chosen_is_neither_compared_nor_only_there(bench: Workbench) -> None:
    rewrite(there(bench))
    verdict = get_verdict(run_verify(bench, choice=RunChoice(exclude=("config.yaml",))))
    assert (verdict.exit_code, verdict.different, verdict.only_there) == (ExitCode.DONE, (), ())
    assert verdict.left == {"not chosen": 2}
    assert get_verdict(run_verify(bench, choice=RunChoice())).different == (CONFIG,)


def test_a_sweep_that_was_never_sent_is_missing_as_a_whole(bench: Workbench) -> None:
    report = run_verify(bench, ONE, TWO)
    assert get_verdict(report).exit_code is ExitCode.DONE
    assert len(get_verdict(report, TWO).missing) == N_FILES
    assert report.exit_code is ExitCode.PARTIAL


def test_an_unknown_sweep_starts_nothing(bench: Workbench) -> None:
    with pytest.raises(UsageError):
        run_verify(bench, "sweep_19990101_000000")
    assert bench.targets["desktop"].script.seen == []


# -- what is no longer here ------------------------------------------------------------------------------------------


def remove(bench: Workbench, folder: Path, name: str, *, has_record: bool) -> None:
    """Remove a run or the sweep's folder here, as a clean does with its record, or as a person does."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        status, sha = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
        files[str(path.relative_to(folder))] = CleanedFile(status.st_size, status.st_mtime_ns, sha)
    shutil.rmtree(folder)
    if has_record:
        unit = CleanedUnit(name, str(folder.parent), folder.name, ".hsm-clean-0123456789abcdef", files=files)
        cleaning = Cleaning(ONE, "2026-01-01T00:00:00+00:00", "here", is_quick=False, places={}, units=(unit,))
        save_cleaning(make_cleaning_path(bench.project, cleaning), cleaning)


def remove_run(bench: Workbench, *, has_record: bool) -> None:
    remove(bench, bench.project / "wandb" / RUN, RUN, has_record=has_record)


def test_a_sweeps_folder_that_a_clean_removed_is_not_only_there(bench: Workbench) -> None:
    remove(bench, bench.project / "sweeps/outputs" / ONE, "", has_record=True)
    assert get_verdict(run_verify(bench)) == VerifyVerdict("desktop", ExitCode.DONE, n_equal=N_FILES)


def test_what_a_clean_removed_is_compared_with_its_record(bench: Workbench) -> None:
    remove_run(bench, has_record=True)
    assert get_verdict(run_verify(bench)) == VerifyVerdict("desktop", ExitCode.DONE, n_equal=N_FILES)
    rewrite(there(bench))
    there(bench, f"{RUN}/files/output.log").unlink()
    there(bench, f"{RUN}/files/more").write_text("x")
    verdict = get_verdict(run_verify(bench))
    assert (verdict.different, verdict.missing) == ((CONFIG,), (f"{RUN}/files/output.log",))
    assert (verdict.n_equal, verdict.exit_code) == (N_FILES - 2, ExitCode.PARTIAL)


def test_what_is_gone_without_a_record_is_a_problem(bench: Workbench) -> None:
    remove_run(bench, has_record=False)
    verdict = get_verdict(run_verify(bench))
    assert [(problem.path, problem.kind) for problem in verdict.problems] == [(RUN, "gone_here")]
    assert verdict.exit_code is ExitCode.PARTIAL
    assert verdict.n_equal == N_FILES - 3


# -- what fails ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "error", "code"),
    [
        ("login", LoginRefusedError("no"), ExitCode.UNREACHABLE),
        ("survey", NoAnswerError("gone"), ExitCode.UNREACHABLE),
        ("make_engine", NoAnswerError("gone"), ExitCode.UNREACHABLE),
        ("login", CommandStoppedError(), ExitCode.INTERRUPTED),
        ("survey", CommandStoppedError(), ExitCode.INTERRUPTED),
    ],
)
def test_a_target_that_fails_concerns_no_other(
    bench: Workbench, moment: str, error: BaseException, code: ExitCode
) -> None:
    bench.targets["desktop"].script.at(moment, fail(error))
    report = run_verify(bench, targets=("desktop", "backup"))
    first, second = report.sweeps[ONE]
    assert (first.exit_code, first.n_equal, second.exit_code) == (code, 0, ExitCode.DONE)
    assert report.exit_code is (ExitCode.INTERRUPTED if code is ExitCode.INTERRUPTED else ExitCode.PARTIAL)


def test_folders_that_are_refused_are_not_looked_at(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    target = bench.targets["desktop"]
    monkeypatch.setattr(target, "check_roots", lambda _roots: fail(RefusedError("the disk is gone", kind="gone"))())
    assert get_verdict(run_verify(bench)).exit_code is ExitCode.REFUSED
    assert "survey" not in target.script.seen


def test_what_fails_for_one_sweep_is_tried_for_the_next(bench: Workbench) -> None:
    bench.targets["desktop"].script.at("survey", fail(NoAnswerError("gone")), None)
    report = run_verify(bench, TWO, ONE)
    assert get_verdict(report, TWO).exit_code is ExitCode.UNREACHABLE
    assert get_verdict(report, ONE).exit_code is ExitCode.DONE


def test_a_login_that_fails_is_told_for_every_sweep(bench: Workbench) -> None:
    bench.targets["desktop"].script.at("login", fail(LoginRefusedError("no")))
    report = run_verify(bench, ONE, TWO)
    assert {get_verdict(report, sweep).exit_code for sweep in (ONE, TWO)} == {ExitCode.UNREACHABLE}
    assert bench.list_ended() == []


def test_nothing_there_asks_for_no_engine(bench: Workbench) -> None:
    run_verify(bench, TWO)
    assert "make_engine" not in bench.targets["desktop"].script.seen


@pytest.mark.parametrize(
    ("option", "n_equal"), [("sync_sweep_metadata", 6), ("sync_wandb_runs", 1)], ids=["runs", "the sweep's folder"]
)
def test_only_the_folders_that_are_synced_are_compared(bench: Workbench, option: str, n_equal: int) -> None:
    folder = bench.targets["desktop"].folder
    next(folder.joinpath("sweeps" if n_equal == 6 else "wandb").rglob("*config.yaml")).unlink()
    config = bench.project / ".hsm/sync_config.yaml"
    config.write_text(config.read_text().replace('"host":', f'"options": {{"{option}": false}}, "host":'))
    verdict = get_verdict(run_verify(bench))
    assert verdict == VerifyVerdict("desktop", ExitCode.DONE, n_equal=n_equal)
