"""Real paths that symlinks lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.discover.files.links import resolve_links
from hsm.discover.results import Results
from hsm.endpoint import Endpoint, Tree
from hsm.model import EntryKind, Reason, Root, Run, SourceFile, SweepInventory
from hsm.plan.destination import DestinationRoot
from hsm.plan.planner import PlanOptions, make_plan
from hsm.remote.local import LocalEndpoint
from tests.unit.discover.conftest import MadeProject


def list_files(folder: Path) -> list[SourceFile]:
    (listing,) = LocalEndpoint().survey([Tree(str(folder), follow=True)]).listings
    results = Results()
    for entry in listing.entries:
        if entry.kind is not EntryKind.FOLDER:
            results.take(entry, Root.WANDB, entry.path, str(folder), "")
    return sorted(results.files)


@pytest.mark.parametrize(
    ("links", "hops"),
    [
        pytest.param({"run/a": "../x/real"}, ["../x/real", "x/real"], id="relative"),
        pytest.param({"run/a": "{top}/x/real"}, ["x/real"], id="absolute"),
        pytest.param({"run/a": "{top}/d/real", "d": "x"}, ["d/real", "x/real"], id="absolute, through a folder"),
        pytest.param({"run/a": "../b", "b": "x/real"}, ["../b", "b", "x/real"], id="a symlink to a symlink"),
        pytest.param({"run/a": "../d/real", "d": "x"}, ["../d/real", "x/real"], id="through a symlinked folder"),
        pytest.param({"run/a": "../d/../real", "d": "x/y"}, ["../d/../real", "x/real"], id="up behind a symlink"),
    ],
)
def test_every_hop_is_named_with_its_real_path(tmp_path: Path, links: dict[str, str], hops: list[str]) -> None:
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "x/real").write_text("x")
    for name, target in links.items():
        (tmp_path / name).symlink_to(target.format(top=tmp_path))
    (link,) = resolve_links(LocalEndpoint(), list_files(tmp_path / "run"))
    assert link.leads_to == tuple(hop if hop.startswith("..") else f"{tmp_path}/{hop}" for hop in hops)


def test_other_files_stay_as_they_are_and_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("x")
    for name in "ac":
        (tmp_path / name).symlink_to("b")
    files = list_files(tmp_path)
    resolved = resolve_links(LocalEndpoint(), files)
    plain = [file._replace(leads_to=(), real="") for file in resolved]
    assert plain == [file._replace(leads_to=()) for file in files]
    assert [file.real for file in resolved] == [f"{tmp_path}/b", "", f"{tmp_path}/b"]
    assert [file.leads_to for file in resolved] == [("b", f"{tmp_path}/b"), (), ("b", f"{tmp_path}/b")]


def test_what_vanished_meanwhile_keeps_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("x")
    (tmp_path / "a").symlink_to("b")
    link, _ = list_files(tmp_path)
    (tmp_path / "b").unlink()
    assert resolve_links(LocalEndpoint(), [link]) == (link,)


def test_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    link = SourceFile(Root.WANDB, "a", str(tmp_path), 1, 1, 1, is_link=True, leads_to=("b",))
    assert resolve_links(LocalEndpoint(), [link])[0].leads_to == ("b", f"{tmp_path}/b", f"{tmp_path}/a")


class Untouchable:
    """An endpoint that must not be asked."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


def test_without_symlinks_nothing_is_looked_at() -> None:
    endpoint: Endpoint = Untouchable()  # type: ignore[assignment]
    files = (SourceFile(Root.WANDB, "f", "/p", 1, 1, 1),)
    assert resolve_links(endpoint, files) == files


@pytest.mark.parametrize("name", ["id_rsa", "plain"])
def test_a_key_behind_two_harmless_names_does_not_leak(made: MadeProject, name: str) -> None:
    made.write(f"home/.ssh/{name}", "key")
    run = made.write_run("wandb/run-20251020_212836-abc")
    (made.folder / "home/keys").symlink_to(".ssh")
    (run / "files/first").symlink_to(f"../../../home/keys/{name}")
    files = [file._replace(run=run.name) for file in list_files(made.folder / "wandb")]
    inventory = SweepInventory("sweep_1", (Run(run.name, ""),), resolve_links(LocalEndpoint(), files))
    plan = make_plan(inventory, {Root.WANDB: DestinationRoot("/d")}, PlanOptions())
    assert [item.file.path for item in plan.items if item.reason is Reason.SECRET] == [f"{run.name}/files/first"]
