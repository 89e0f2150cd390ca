"""Durations and sizes, as typed and as shown."""

from __future__ import annotations

import pytest

from hsm.errors import UsageError
from hsm.units import format_bytes, format_size, parse_age, parse_duration

AGES = {
    "90s": 90,
    "30m": 1800,
    "12h": 43_200,
    "2d": 172_800,
    "1w": 604_800,
    " 5 m ": 300,
    "0d": 0,
    "000030d": 2_592_000,
}


@pytest.mark.parametrize(("text", "seconds"), AGES.items())
def test_ages_are_read(text: str, seconds: int) -> None:
    assert parse_age(text, option="--since") == seconds


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1.5d", "30D", "\u0663d", "1d1d", "9999999d"])
def test_other_ages_are_refused_by_the_option_that_has_them(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_age(text, option="--older-than", kind="bad_age")
    assert caught.value.message == f"--older-than {text!r} is no duration."
    assert (caught.value.kind, "--older-than 2d" in caught.value.hint) == ("bad_age", True)


DURATIONS = {"60": 60, "90s": 90, "30m": 1800, "6h": 21_600, "2d": 172_800, " 5 ": 5}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text, option="--interval") == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-5", "1.5h", "soon", "6 hours", "\u00b2", "9" * 30])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text, option="--settle")
    assert "--settle" in caught.value.message


SIZES = {
    0: "0 B",
    999: "999 B",
    1000: "1.0 kB",
    999_940: "999.9 kB",
    999_960: "1.0 MB",
    10**9: "1.0 GB",
    2 * 10**15: "2.0 PB",
    10**19: "10000.0 PB",
}


@pytest.mark.parametrize(("n_bytes", "text"), SIZES.items())
def test_sizes_are_written_in_decimal_units(n_bytes: int, text: str) -> None:
    assert format_bytes(n_bytes) == text


def test_a_part_has_the_unit_of_the_whole() -> None:
    assert format_size(400_000, 2_100_000) == ("0.4", "MB")


def test_a_size_that_no_disk_holds_can_be_shown() -> None:
    assert format_bytes(10**400) == "1000000000.0 PB"
