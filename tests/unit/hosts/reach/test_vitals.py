"""Load of a machine, as its programs print it."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.hosts.reach.vitals import PROGRAM, Gpu, Vitals, parse_vitals

TEXTS = {
    "linux": ("load 0.52 0.58 0.59 1/389 12\ncpus 12\n", Vitals(0.52, 12)),
    "macos": ("load { 1.94 2.01 1.9 }\ncpus 8\n", Vitals(1.94, 8)),
    "comma": ("load { 1,94 2,01 1,9 }\n", Vitals(1.94)),
    "gpus": (
        "load 1 1 1\ncpus 2\ngpu NVIDIA H100 80GB HBM3, 1234, 81559, 5\ngpu A, B, 40000, 81559, 97\n",
        Vitals(1, 2, (Gpu("NVIDIA H100 80GB HBM3", 1234, 81559, 5), Gpu("A, B", 40000, 81559, 97))),
    ),
    "unknown": ("gpu X, [N/A], [N/A], [N/A]\n", Vitals(None, 0, (Gpu("X", None, None, None),))),
    "driver": ("gpu NVIDIA-SMI has failed\n", Vitals(None, 0, (Gpu("NVIDIA-SMI has failed", None, None, None),))),
    "nothing": ("load \ncpus \n", Vitals()),
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS.keys())
def test_what_machines_print(text: str, expected: Vitals) -> None:
    assert parse_vitals(text) == expected


@pytest.mark.parametrize(
    ("gpu", "is_free"),
    [
        (Gpu("x", 10, 1000, 0), True),
        (Gpu("x", 100, 1000, 0), False),
        (Gpu("x", 10, 1000, 10), False),
        (Gpu("x", None, 1000, 0), False),
        (Gpu("x", 10, 0, 0), False),
    ],
)
def test_free_gpus(gpu: Gpu, is_free: bool) -> None:
    assert gpu.is_free is is_free


def test_the_program_runs_in_sh() -> None:
    done = subprocess.run(["sh", "-c", PROGRAM], check=True, capture_output=True, text=True)
    vitals = parse_vitals(done.stdout)
    assert vitals.load is not None
    assert vitals.n_cpus > 0


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert len(parse_vitals(f"gpu {text}\nload {text}\ncpus {text}").gpus) <= 64
