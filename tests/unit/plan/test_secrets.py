"""Files that are left out as secrets."""

from __future__ import annotations

import pytest

from hsm.config.rules.values import SECRET_PATTERNS
from hsm.model import PlanItem, Reason, Root, Run, RunState, RunVersions, SourceFile, SweepInventory, SyncPlan
from hsm.plan.destination import DestinationRoot
from hsm.plan.notices import MOST_NAMED
from hsm.plan.planner import PlanOptions, make_plan
from hsm.plan.secrets import make_secret_notices

SWEEP = "sweep_1"
RUN = Run("run-1", "/p/wandb", log="run-1.wandb", state=RunState.FINISHED)


def make_file(path: str, *leads_to: str) -> SourceFile:
    return SourceFile(Root.WANDB, f"run-1/{path}", "/p/wandb", 1, 1, 1, "run-1", bool(leads_to), leads_to)


def plan(*files: SourceFile, options: PlanOptions | None = None, run: Run = RUN) -> SyncPlan:
    inventory = SweepInventory(SWEEP, runs=(run,), files=files, versions={"run-1": RunVersions()})
    return make_plan(inventory, dict.fromkeys(Root, DestinationRoot("/d")), options or PlanOptions())


def reason_of(*files: SourceFile, options: PlanOptions | None = None, run: Run = RUN) -> tuple[Reason, str]:
    item, *_ = plan(*files, options=options, run=run).items
    return item.reason, item.detail


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        (".netrc", ".netrc"),
        ("files/code/.netrc", ".netrc"),
        (".env", ".env"),
        ("files/.env/inner", ".env"),
        ("files/.env.production", ".env.*"),
        ("files/server.pem", "*.pem"),
        ("id_rsa", "id_rsa*"),
        ("id_rsa.pub", "id_rsa*"),
        ("files/id_dsa", "id_dsa*"),
        ("files/id_ecdsa_sk", "id_ecdsa*"),
        ("files/id_ed25519", "id_ed25519*"),
        ("files/.ssh/config", ".ssh/"),
        (".aws/credentials", "**/.aws/credentials"),
        ("files/code/.aws/credentials", "**/.aws/credentials"),
        ("files/credentials.json", "credentials.json"),
        ("files/wandb/settings", "**/wandb/settings"),
        ("wandb/settings", "**/wandb/settings"),
    ],
)
def test_a_secret_is_left_and_the_pattern_named(name: str, pattern: str) -> None:
    assert pattern in SECRET_PATTERNS
    assert reason_of(make_file(name)) == (Reason.SECRET, f"matches {pattern}")


@pytest.mark.parametrize(
    "name",
    [
        "files/environment.yml",
        "files/x.env",
        "settings",
        "files/.aws/config",
        "my_id_rsa",
        "files/.sshx/a",
        "a.pem.txt",
    ],
)
def test_what_is_like_a_secret_but_none_is_sent(name: str) -> None:
    assert reason_of(make_file(name))[0] is Reason.NEW


def test_a_secret_of_the_sweep_folder_is_left_too() -> None:
    file = SourceFile(Root.SWEEPS, f"outputs/{SWEEP}/.env", "/p/sweeps", 1, 1, 1)
    assert reason_of(file)[0] is Reason.SECRET


def test_the_name_of_the_run_itself_is_not_judged() -> None:
    run = Run("run-1-id_rsa", "/p/wandb")
    file = SourceFile(Root.WANDB, "run-1-id_rsa/x", "/p/wandb", 1, 1, 1, run.name)
    assert reason_of(file, run=run)[0] is Reason.NEW


@pytest.mark.parametrize(
    ("hops", "detail"),
    [
        pytest.param(["/home/me/.ssh/id_rsa"], "leads to /home/me/.ssh/id_rsa, which matches id_rsa*", id="absolute"),
        pytest.param(["../../../.netrc"], "leads to ../../../.netrc, which matches .netrc", id="relative"),
        pytest.param(["../k", "/home/me/.ssh/k"], "leads to /home/me/.ssh/k, which matches .ssh/", id="second hop"),
        pytest.param(["/p/.env", "/p/settings"], "leads to /p/.env, which matches .env", id="first of two hops"),
    ],
)
def test_a_symlink_is_judged_by_what_it_leads_to(hops: list[str], detail: str) -> None:
    assert reason_of(make_file("files/key", *hops)) == (Reason.SECRET, detail)


def test_a_symlink_inside_the_run_is_judged_by_the_path_inside_it() -> None:
    link = make_file("files/key", "/p/wandb/run-1/keys/a")
    assert reason_of(link, options=PlanOptions(secret_patterns=("/keys/",)))[0] is Reason.SECRET
    assert reason_of(link, options=PlanOptions(secret_patterns=("wandb",)))[0] is Reason.NEW


def test_a_symlink_to_something_harmless_is_sent() -> None:
    assert reason_of(make_file("files/model.pt", "/scratch/model.pt"))[0] is Reason.NEW


@pytest.mark.parametrize(
    ("patterns", "reason"), [((), Reason.NEW), (("*.key",), Reason.NEW), ((".e*",), Reason.SECRET)]
)
def test_own_patterns_replace_the_default(patterns: tuple[str, ...], reason: Reason) -> None:
    assert reason_of(make_file(".env"), options=PlanOptions(secret_patterns=patterns))[0] is reason


def test_excluded_comes_before_secret_and_secret_before_superseded() -> None:
    assert reason_of(make_file(".env"), options=PlanOptions(exclude=(".env",)))[0] is Reason.EXCLUDED
    old, new = (make_file(f"files/media/.ssh/t_{step}_{'a' * 20}.png") for step in (1, 2))
    assert reason_of(old, new)[0] is Reason.SECRET
    assert reason_of(old, new, options=PlanOptions(secret_patterns=()))[0] is Reason.SUPERSEDED


def test_every_secret_is_a_notice_with_its_path_and_pattern() -> None:
    (notice,) = plan(make_file("files/.env"), make_file("x")).problems
    assert (notice.path, notice.kind, notice.is_failure) == ("run-1/files/.env", "secret", False)
    assert "matches .env" in notice.message
    assert "secret_patterns" in notice.hint


@pytest.mark.parametrize(
    ("n_files", "n_notices"), [(0, 0), (MOST_NAMED, MOST_NAMED), (MOST_NAMED + 35, MOST_NAMED + 1)]
)
def test_very_many_secrets_are_summed_up(n_files: int, n_notices: int) -> None:
    notices = make_secret_notices(PlanItem(make_file(f"{i}.pem"), Reason.SECRET, "x") for i in range(n_files))
    assert len(notices) == n_notices
    assert n_files <= MOST_NAMED or notices[-1].message.startswith("35 more files")
