"""Options that the command line, Python and the early login read from one place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hsm.call_options import (
    CallOptions,
    OutputOptions,
    PullOptions,
    PushOptions,
    ReceiveOptions,
    SendOptions,
    VerifyOptions,
    iter_forms,
    list_harmless_switches,
)

ALL = [SendOptions, ReceiveOptions, VerifyOptions]


def list_names(options: type) -> set[str]:
    return {name for name, _, _ in iter_forms(options)}


@pytest.mark.parametrize("options", ALL)
def test_the_first_flag_is_the_keyword_of_python(options: type) -> None:
    for name, _, form in iter_forms(options):
        assert form.flags[0] == f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("options", ALL)
def test_a_switch_has_no_metavar_and_everything_else_has_one(options: type) -> None:
    for name, kind, form in iter_forms(options):
        assert bool(form.metavar) == (kind is not bool and not form.is_counted), name


def test_a_push_has_what_a_pull_has_and_a_little_more() -> None:
    assert list_names(PushOptions) - list_names(PullOptions) == {"to_sweeps", "to_wandb", "no_after_sync"}
    assert list_names(PullOptions) - list_names(CallOptions) == {"overwrite"}


def test_switches_that_change_no_login() -> None:
    assert list_harmless_switches(SendOptions, ReceiveOptions) == {
        *("--dry-run", "-n", "--sweep-only", "--wandb-only", "--all-versions", "--overwrite", "--break-lock"),
        *("--no-after-sync", "--all", "--json", "--verbose", "-v", "-vv", "--quiet", "-q"),
    }
    assert list_harmless_switches(OutputOptions) == {"--json", "--verbose", "-v", "-vv", "--quiet", "-q"}


def test_they_are_known_before_anything_heavy_is_imported() -> None:
    code = "import hsm.call_options, sys; print(sorted({'typer', 'pydantic', 'yaml'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
