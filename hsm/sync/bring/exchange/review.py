"""Review of a plan before anything is changed: what more is found in its files, and what would hurt."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hsm.errors import RefusedError
from hsm.model import Root, SyncPlan
from hsm.plan.destination import Destination
from hsm.plan.safety import check_plan, check_secrets
from hsm.sweep_folder import sweep_folder
from hsm.sync.bring.exchange.setup import ExchangeSetup
from hsm.sync.bring.survey import DestinationState


def add_findings(setup: ExchangeSetup, plan: SyncPlan) -> SyncPlan:
    """Add what the files of a plan show, as far as it must be known before they are sent."""
    is_dry_run = setup.options.is_dry_run
    # A warning alone can wait until the files are under way: the look reads every small file, 0.1 ms each.
    if setup.options.secrets == "refuse" or is_dry_run:
        plan = look_for_secrets(setup, plan)
    return _look_for_jobs(setup, plan) if is_dry_run and plan.jobs else plan


def look_for_secrets(setup: ExchangeSetup, plan: SyncPlan) -> SyncPlan:
    """Add what looks like a secret in the files to be sent to the plan's problems."""
    if setup.options.secrets == "ignore" or not plan.sends:
        return plan
    from hsm.discover.secrets import scan_files  # noqa: PLC0415 - its patterns take time

    found = scan_files(setup.direction.source, plan.sends)
    return replace(plan, problems=(*plan.problems, *found))


def _look_for_jobs(setup: ExchangeSetup, plan: SyncPlan) -> SyncPlan:
    """Add the states of Hydra's jobs, which a preview shows; they say nothing about files."""
    from hsm.discover.kinds.hydra_jobs import read_jobs  # noqa: PLC0415 - few sweeps have jobs

    prefix = next((item.file.prefix for item in plan.items if item.file.root is Root.SWEEPS), "")
    folder = f"{prefix}/{sweep_folder(plan.sweep, plan.place)}"
    jobs = read_jobs(setup.direction.source, folder, list(plan.jobs)) if prefix else ()
    return replace(plan, jobs={**plan.jobs, **{job.path: job.state for job in jobs}})


def refuse_harm(setup: ExchangeSetup, plan: SyncPlan, destination: Destination) -> None:
    """Refuse a plan that would hurt.

    Raises:
        RefusedError: It would, and the call does not allow it.
    """
    options, inventory, ledger = setup.options, setup.inventory, setup.ledger
    secrets = check_secrets(plan.problems) if options.secrets == "refuse" else ()
    # Where runs come from a place that has no folder of the sweep, the one here was never there.
    may_lack = setup.direction.is_pull and not inventory.has_folder and bool(inventory.files)
    check = partial(check_plan, plan, destination, known=ledger.known, may_lack_folder=may_lack)
    found = check()
    # The records of cleans are many small files, read only where runs are missing here at all.
    if any(refusal.check == "source-empty" for refusal in found):
        found = check(cleaned=ledger.find_cleaned())
    refusals = [refusal for refusal in (*found, *secrets) if refusal.check not in options.allowed]
    if refusals:
        raise RefusedError(
            "\n".join(refusal.message for refusal in refusals),
            hint="\n".join(dict.fromkeys(refusal.hint for refusal in refusals)),
            kind=refusals[0].check,
        )


def refuse_unwritable(setup: ExchangeSetup, plan: SyncPlan, there: DestinationState) -> None:
    """Let a dry run refuse what the sync would; a real one finds out by itself.

    Raises:
        HsmError: A folder there cannot be written.
    """
    if plan.sends:
        from hsm.sync.doctor.permissions import check_writable  # noqa: PLC0415 - for dry runs alone

        shell, own = setup.connection.shell, there.places.folder
        check_writable(setup.destination, shell, there.destination, plan, own=own)
