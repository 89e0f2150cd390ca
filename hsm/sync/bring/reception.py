"""Reception of one sweep from one target: it lands where it lies here already, and so does each of its runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hsm.discover.landing import find_home, find_run_places
from hsm.discover.sweeps import Layout, SweepsFound, look_for_sweeps
from hsm.model import Problem, Root, SweepInventory
from hsm.plan.choice import settle_newest
from hsm.process.runner import Runner
from hsm.remote.local import LocalEndpoint, LocalShell
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.remote.shell_programs.probe import probe_by_shell
from hsm.sync.bring.exchange import Direction, exchange_selected, select_wanted
from hsm.sync.bring.far_source import FarProject
from hsm.sync.bring.joining import join_reports
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.ledger.provenance import Provenance
from hsm.sync.bring.options import ExchangeOptions
from hsm.sync.bring.parts import Part, add_failures, split_inventory
from hsm.sync.observer import Observer
from hsm.sync.reports import State, TargetReport
from hsm.targets.contract import Connection


class Reception:
    """Receiver of one sweep from one target, in as many exchanges as its runs have folders here. Used by one thread.

    Args:
        connection: To the target; a login has been made.
        layout: The project's folders.
        books: Of the target.
        options: How it is copied.
        runner: Starts the processes.
        observer: Told what happens.
    """

    def __init__(
        self,
        connection: Connection,
        layout: Layout,
        books: Books,
        options: ExchangeOptions,
        *,
        runner: Runner,
        observer: Observer,
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._books = books
        self._options = options
        self._runner = runner
        self._observer = observer
        self._here = LocalEndpoint(runner)

    def receive(self, inventory: SweepInventory) -> TargetReport:
        """Bring the sweep, and report it as one; what goes wrong in one part ends it.

        Args:
            inventory: What the target has of it.

        Raises:
            UsageError: It lies in two places here.
        """
        wanted = select_wanted(inventory, self._options)
        here = self._look()
        home = find_home(here.sweeps, wanted.sweep)
        places = find_run_places(here.layout, wanted.sweep, home, [run.name for run in wanted.runs])
        sweeps = home.prefix if home is not None else self._layout.sweeps
        parts = split_inventory(wanted, self._options.roots, places)
        plan = self._options.plan
        if len(parts) > 1:
            plan = replace(plan, choice=settle_newest(plan.choice, wanted.runs, wanted.files))
        reports: list[TargetReport] = []
        failures: list[Problem] = []
        for part in parts:
            is_last = part is parts[-1]
            options = replace(self._options, plan=plan, roots=part.roots)
            reports.append(self._exchange(add_failures(part, failures) if is_last else part, options, sweeps))
            report = reports[-1]
            if report.error is not None or report.state is State.INTERRUPTED:
                break
            failures += report.plan.problems if report.plan is not None else ()
        return join_reports(reports, () if len(reports) == len(parts) else parts[-1].inventory.problems)

    def _look(self) -> SweepsFound:
        """Look at the project here: its sweeps, and all its folders of runs."""
        # The one place where folders that a search of the whole project finds are to be added.
        return look_for_sweeps(self._here, self._layout)

    def _exchange(self, part: Part, options: ExchangeOptions, sweeps: str) -> TargetReport:
        direction = Direction(
            source=self._connection.endpoint,
            destination=self._here,
            roots={Root.SWEEPS: sweeps, Root.WANDB: part.wandb or self._layout.wandb},
            make_guard=partial(ShellGuard, LocalShell(self._runner)),
            probe=partial(probe_by_shell, LocalShell(self._runner)),
            is_pull=True,
        )
        books, sweep = self._books, part.inventory.sweep
        far = FarProject(self._connection.endpoint, books.route, folder=books.source.path)
        provenance = Provenance(books, sweep, source=self._connection.endpoint, sweeps=sweeps, vouches=far.vouches)
        return exchange_selected(
            self._connection,
            direction,
            part.inventory,
            options,
            ledger=Ledger(books, sweep, provenance, place="this project", part=part.name),
            observer=self._observer,
        )
