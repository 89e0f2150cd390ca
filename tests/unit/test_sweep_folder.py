"""Ids of sweeps that are names in logs."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.discover.sweeps import check_sweep_name
from hsm.sweep_folder import LOOSE, MOST_ID_BYTES, assign_ids, iter_sweep_ids, make_sweep_id

IDS = {
    "exp1": "exp1",
    "a/b c%d": "a%2Fb c%25d",
    "..": "%2E%2E",
    "a..b": "a%2E%2Eb",
    ".hidden": "%2Ehidden",
    "-n": "%2Dn",
    "@loose": "%40loose",
    "a\nb": "a%0Ab",
    "wandb": "%77andb",
    ".wandb": "%2Ewandb",
    "wandb2": "wandb2",
    "Größe 1": "Größe 1",
}


@pytest.mark.parametrize(("name", "expected"), IDS.items(), ids=map(ascii, IDS))
def test_id_of(name: str, expected: str) -> None:
    assert make_sweep_id(name) == expected


@given(st.text(min_size=1, max_size=300))
def test_every_id_is_the_name_of_one_file(name: str) -> None:
    for found in iter_sweep_ids(name):
        check_sweep_name(found)
        assert len(os.fsencode(found)) <= MOST_ID_BYTES
        assert found not in (LOOSE, "wandb", ".wandb")


@given(st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=8))
def test_different_names_have_ids_that_no_disk_takes_for_one(names: list[str]) -> None:
    ids = assign_ids(names)
    assert len({found.casefold() for found in ids.values()}) == len(names)
    for name, found in ids.items():
        assert found in set(iter_sweep_ids(name))


def test_a_long_name_is_cut_and_told_apart() -> None:
    first, second = make_sweep_id("x" * 250), make_sweep_id("x" * 251)
    assert len(first) == len(second) == MOST_ID_BYTES
    assert first != second


def test_names_that_differ_in_case_alone_get_a_hash_each() -> None:
    ids = assign_ids(["Dev", "dev", "other"])
    assert ids["other"] == "other"
    assert (ids["Dev"][:4], ids["dev"][:4]) == ("Dev-", "dev-")


def test_a_folder_keeps_its_id_and_takes_the_name_that_is_equal() -> None:
    ids = assign_ids(["dev", "Dev"], folders=["dev"])
    assert ids["dev"] == "dev"
    assert ids["Dev"] == list(iter_sweep_ids("Dev"))[1]
