"""The list to choose from: sweeps of every kind, in which order, and the word for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsm.cli.render.sync.offers import show_offers
from hsm.cli.sync.options.sweep_choice import list_offers_here, list_offers_there
from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.process.runner import Runner
from hsm.progress import SilentReporter
from hsm.sync.bring.push import push
from hsm.sync.request import SyncRequest
from tests.e2e.synthetic import write_file, write_run, write_sweep_folder

OLD, NEW = "sweep_20251020_212836", "sweep_20251021_090000"


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    """Return the configuration of a project with sweeps of three kinds."""
    folder = tmp_path / "project"
    for sweep in (OLD, NEW):
        write_sweep_folder(folder, sweep)
        write_run(folder / "wandb", sweep[-3:], sweep=sweep)
    write_run(folder / "wandb", "g1", sweep="sweep")  # the beginning of both folders
    write_run(folder / "wandb", "l1", sweep="")
    paths = {name: str(tmp_path / "nas" / name) for name in ("sweeps", "wandb")}
    for path in paths.values():
        Path(path).mkdir(parents=True)
    write_file(folder / ".hsm/sync_config.yaml", json.dumps({"sync_targets": {"nas": {"paths": paths}}}).encode())
    return load_project_config(folder, environment={})


def bring(loaded: LoadedConfig, *words: str) -> None:
    push(loaded, SyncRequest(words, loaded.config.sync_targets), runner=Runner(), reporter=SilentReporter())


def test_folders_come_first_and_loose_runs_last(loaded: LoadedConfig) -> None:
    bring(loaded, NEW)
    offers = list_offers_here(loaded, loaded.config.sync_targets)
    assert [offer.sweep.id for offer in offers] == [NEW, OLD, "sweep", "@loose"]
    assert [offer.sweep.word for offer in offers] == [NEW, OLD, "group:sweep", "@loose"]
    words = [word for offer in offers for word in offer.words]
    assert words[0] == "nas: nothing, complete"
    assert words[2].startswith("nas: 1 run, at most ")
    assert words[3].startswith("nas: 1 run, at most ")


def test_each_word_means_its_sweep(loaded: LoadedConfig) -> None:
    offers = list_offers_here(loaded, loaded.config.sync_targets)
    bring(loaded, *(offer.sweep.word for offer in offers))
    assert all(
        offer.words == ("nas: nothing, complete",) for offer in list_offers_here(loaded, loaded.config.sync_targets)
    )
    there = list_offers_there(loaded, loaded.config.sync_targets)
    assert [offer.sweep.id for offer in there] == [NEW, OLD, "sweep", "@loose"]


def test_the_kind_is_shown_where_there_are_others_than_folders(
    loaded: LoadedConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    offers = list_offers_here(loaded, loaded.config.sync_targets)
    show_offers(offers)
    assert "kind" in capsys.readouterr().err
    show_offers(offers[:2])
    assert "kind" not in capsys.readouterr().err
