"""Which of several values counts, and where the one that counts comes from."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsm.config.layers import (
    Layer,
    Layers,
    Origin,
    OriginKind,
    PatternLayer,
    Setting,
    SettingKey,
    merge_layers,
    nest,
)
from hsm.config.schema import TargetSection
from hsm.config.sections import iter_keys

MARK = yaml.Mark("", 0, 0, 0, None, 0)
WANDB: SettingKey = ("paths", "wandb")
DEPTH: SettingKey = ("options", "max_depth")
SWEEP = "sweep_20251020_212836"


def make_layer(kind: OriginKind, values: dict[SettingKey, object]) -> Layer:
    node = yaml.ScalarNode("tag:yaml.org,2002:str", "", MARK, MARK)
    return {key: Setting(value, Origin(kind, str(value)), node) for key, value in values.items()}


def in_file(**targets: dict[SettingKey, object]) -> dict[str, Layer]:
    return {name: make_layer(OriginKind.FILE, values) for name, values in targets.items()}


def pattern(glob: str, values: dict[SettingKey, object], **targets: dict[SettingKey, object]) -> PatternLayer:
    single = {name: make_layer(OriginKind.SWEEPS, changes) for name, changes in targets.items()}
    return PatternLayer(glob, make_layer(OriginKind.SWEEPS, values), single)


FILE = in_file(desktop={WANDB: "file"}, backup={WANDB: "other"})


@pytest.mark.parametrize(
    ("layers", "sweep", "expected"),
    [
        pytest.param(Layers(FILE), SWEEP, "file", id="the target's own section"),
        pytest.param(
            Layers(FILE, (pattern("sweep_2025*", {WANDB: "p"}),)), SWEEP, "p", id="a pattern over the section"
        ),
        pytest.param(Layers(FILE, (pattern("sweep_2024*", {WANDB: "p"}),)), SWEEP, "file", id="no match"),
        pytest.param(Layers(FILE, (pattern("sweep_2025", {WANDB: "p"}),)), SWEEP, "file", id="a part is no match"),
        pytest.param(Layers(FILE, (pattern("SWEEP_*", {WANDB: "p"}),)), SWEEP, "file", id="case counts"),
        pytest.param(Layers(FILE, (pattern("*_2128[0-9]6", {WANDB: "p"}),)), SWEEP, "p", id="a set of characters"),
        pytest.param(
            Layers(FILE, (pattern("*", {WANDB: "p"}),)), None, "file", id="without a sweep no pattern matches"
        ),
        pytest.param(
            Layers(FILE, (pattern("*", {WANDB: "first"}), pattern("sweep*", {WANDB: "second"}))),
            SWEEP,
            "second",
            id="the later pattern wins",
        ),
        pytest.param(
            Layers(FILE, (pattern(SWEEP, {WANDB: "exact"}), pattern("*", {WANDB: "later"}))),
            SWEEP,
            "later",
            id="also over a more exact one",
        ),
        pytest.param(
            Layers(FILE, (pattern("*", {WANDB: "first"}), pattern("sweep*", {DEPTH: 3}))),
            SWEEP,
            "first",
            id="key by key",
        ),
        pytest.param(
            Layers(FILE, (pattern("*", {WANDB: "all"}, desktop={WANDB: "single"}),)),
            SWEEP,
            "single",
            id="a single target over all",
        ),
        pytest.param(
            Layers(FILE, (pattern("*", {WANDB: "all"}, backup={WANDB: "single"}),)),
            SWEEP,
            "all",
            id="another target is no concern",
        ),
        pytest.param(
            Layers(FILE, (pattern("*", {}, desktop={WANDB: "single"}), pattern("*", {WANDB: "all"}))),
            SWEEP,
            "all",
            id="a later pattern for all over a single target of an earlier one",
        ),
        pytest.param(
            Layers(
                FILE, (pattern("*", {WANDB: "p"}),), {"desktop": make_layer(OriginKind.ENVIRONMENT, {WANDB: "env"})}
            ),
            SWEEP,
            "env",
            id="the environment over patterns",
        ),
        pytest.param(
            Layers(FILE, environment={"backup": make_layer(OriginKind.ENVIRONMENT, {WANDB: "env"})}),
            SWEEP,
            "file",
            id="the environment of another target",
        ),
        pytest.param(
            Layers(
                FILE,
                (pattern("*", {WANDB: "p"}),),
                {"desktop": make_layer(OriginKind.ENVIRONMENT, {WANDB: "env"})},
                make_layer(OriginKind.COMMAND_LINE, {WANDB: "typed"}),
            ),
            SWEEP,
            "typed",
            id="the command line over all",
        ),
        pytest.param(
            Layers(FILE, command_line=make_layer(OriginKind.COMMAND_LINE, {WANDB: None})),
            None,
            None,
            id="the default by the command line",
        ),
    ],
)
def test_what_counts(layers: Layers, sweep: str | None, expected: object) -> None:
    chosen = layers.choose("desktop", sweep)[WANDB]
    assert (chosen.value, chosen.origin.place) == (expected, str(expected))


def test_names_of_ssh_options_are_one_in_any_case() -> None:
    first = make_layer(OriginKind.FILE, {("ssh", "options", "ServerAliveInterval"): "5"})
    second = make_layer(OriginKind.ENVIRONMENT, {("ssh", "options", "serveraliveinterval"): "7"})
    merged = merge_layers([first, second])
    assert {key: setting.value for key, setting in merged.items()} == {("ssh", "options", "serveraliveinterval"): "7"}


def test_without_ssh_only_what_the_file_says_of_ssh_is_gone() -> None:
    key = ("ssh", "identity_file")
    typed = make_layer(OriginKind.COMMAND_LINE, {key: "typed"})
    layers = Layers(in_file(desktop={key: "file", WANDB: "w"}), command_line=typed)
    assert {key: found.value for key, found in layers.without_code().choose("desktop", None).items()} == {
        WANDB: "w",
        key: "typed",
    }


KEYS = st.sampled_from([key for key, _ in iter_keys(TargetSection)])
LAYERS = st.lists(st.dictionaries(KEYS, st.integers(), max_size=6), max_size=5)


@given(LAYERS)
def test_each_key_has_the_value_of_the_last_layer_that_sets_it(values: list[dict[SettingKey, int]]) -> None:
    merged = merge_layers(make_layer(OriginKind.FILE, dict(layer)) for layer in values)
    expected: dict[SettingKey, int] = {}
    for layer in values:
        expected.update(layer)
    assert {key: setting.value for key, setting in merged.items()} == expected
    assert dict(iter_leaves(nest(merged))) == expected


def iter_leaves(section: dict[str, Any], key: SettingKey = ()) -> Any:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from iter_leaves(value, (*key, name))
        else:
            yield (*key, name), value
