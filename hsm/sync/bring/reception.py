"""Reception of one sweep from one target: it lands where it lies here already, and so does each of its runs."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

from hsm.errors import HsmError, TargetError
from hsm.model import Problem, Root, SweepInventory
from hsm.plan.choice import find_left_runs, settle_newest
from hsm.plan.symlinks.folder_links import list_followed
from hsm.process.runner import Runner
from hsm.remote.local import LocalEndpoint, LocalShell
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.sweep_folder import sweep_folder
from hsm.sync.bring.ending import make_failed_report
from hsm.sync.bring.exchange.exchange import Exchange
from hsm.sync.bring.exchange.setup import Direction, ExchangeSetup
from hsm.sync.bring.far_source import FarProject
from hsm.sync.bring.joining import join_reports
from hsm.sync.bring.landing import Landing, LookHere, find_landing
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.ledger.provenance import Provenance
from hsm.sync.bring.options import ExchangeOptions, select_wanted
from hsm.sync.bring.parts import SweepPart, add_failures, split_inventory
from hsm.sync.observer import Observer
from hsm.sync.reports import State, TargetReport
from hsm.targets.contract import Connection


class Reception:
    """Receiver of one sweep from one target, in as many exchanges as its runs have folders here. Used by one thread.

    Args:
        connection: To the target; a login has been made.
        look: Looks at the project here.
        books: Of the target.
        options: How it is copied.
        runner: Starts the processes.
        observer: Told what happens.
    """

    def __init__(
        self,
        connection: Connection,
        look: LookHere,
        books: Books,
        options: ExchangeOptions,
        *,
        runner: Runner,
        observer: Observer,
    ) -> None:
        self._connection = connection
        self._look = look
        self._books = books
        self._options = options
        self._runner = runner
        self._observer = observer
        self._here = LocalEndpoint(runner)

    def receive(self, inventory: SweepInventory) -> TargetReport:
        """Bring the sweep, and report it as one; what ends one of its parts ends all.

        Args:
            inventory: What the target has of it.

        Raises:
            UsageError: It lies in two places here.
            TargetError: It lies behind a symlink here.
        """
        wanted = select_wanted(inventory, self._options)
        landing = self._find_landing(wanted)
        parts = split_inventory(wanted, self._options.roots, landing.runs)
        plan = self._options.plan
        if len(parts) > 1:
            plan = replace(plan, choice=settle_newest(plan.choice, wanted.runs, wanted.files))
        reports: list[TargetReport] = []
        failures: list[Problem] = []
        for part in parts:
            # The part before may have taken hours, in which anything can be moved.
            if reports and not self._is_still(wanted, landing):
                reports.append(self._make_moved_report(wanted.sweep))
                break
            options = replace(self._options, plan=plan, roots=part.roots)
            whole = add_failures(part, failures) if part is parts[-1] else part
            report = self._exchange(whole, options, landing)
            reports.append(report)
            if report.error is not None or report.state is State.INTERRUPTED:
                break
            failures += report.plan.problems if report.plan is not None else ()
        return join_reports(reports, () if len(reports) == len(parts) else parts[-1].inventory.problems)

    def _find_landing(self, wanted: SweepInventory) -> Landing:
        runs, follow = [run.name for run in wanted.runs], list_followed([self._options.folder_links])
        find = partial(find_landing, sweep=wanted.sweep, runs=runs, place=wanted.place, follow=follow)
        landing = find(self._look(fresh=False))
        # What is remembered of folders may be ten minutes old; before a run gets a place here, they are searched anew.
        left = find_left_runs(self._options.plan.choice, wanted.runs, wanted.files)
        if landing.runs.unseen - left:
            landing = find(self._look(fresh=True))
        if landing.home is not None or wanted.place:
            _refuse_symlinks(wanted.sweep, landing.sweeps, sweep_folder(wanted.sweep, wanted.place))
        return landing

    def _is_still(self, wanted: SweepInventory, before: Landing) -> bool:
        """Tell whether everything lies where it lay, or where it has come since."""
        try:
            now = self._find_landing(wanted)
        except HsmError:
            return False
        is_same = (now.runs.folders, now.runs.doubles) == (before.runs.folders, before.runs.doubles)
        return now.sweeps == before.sweeps and is_same

    def _make_moved_report(self, sweep: str) -> TargetReport:
        error = TargetError(
            f"{sweep} or runs of it were moved here while others came.",
            hint="Run the same command again.",
            kind="moved_meanwhile",
        )
        return make_failed_report(self._connection.name, error, self._observer.stopwatch.seconds)

    def _exchange(self, part: SweepPart, options: ExchangeOptions, landing: Landing) -> TargetReport:
        direction = Direction(
            source=self._connection.endpoint,
            destination=self._here,
            roots={Root.SWEEPS: landing.sweeps, Root.WANDB: part.wandb or landing.wandb},
            own=landing.own,
            make_guard=partial(ShellGuard, LocalShell(self._runner)),
            is_pull=True,
        )
        books, sweep = self._books, part.inventory.sweep
        far = FarProject(self._connection.endpoint, books.route, folder=books.source.path)
        provenance = Provenance(books, sweep, source=self._connection.endpoint, sweeps=landing.own, vouches=far.vouches)
        ledger = Ledger(books, sweep, provenance, place="this project", part=part.name)
        setup = ExchangeSetup(self._connection, direction, part.inventory, options, ledger, self._observer)
        return Exchange(setup).run()


def _refuse_symlinks(sweep: str, prefix: str, folder: str) -> None:
    """Refuse a sweep that lies elsewhere, since what lies behind its symlink may be a mistake or another disk's.

    Args:
        sweep: Its id.
        prefix: May be, or lie behind, a symlink.
        folder: Its folder, relative to that.

    Raises:
        TargetError: It does.
    """
    parts = folder.split("/")
    for count in range(1, len(parts) + 1):
        path = "/".join([prefix, *parts[:count]])
        if os.path.islink(path):  # noqa: PTH114 - as the bytes are
            raise TargetError(
                f"{sweep} lies behind the symlink {path}, and a pull writes through none.",
                hint="Put the folder in place of the symlink; the folder `source.sweeps` itself may be one.",
                kind="type_conflict",
            )
