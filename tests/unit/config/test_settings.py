"""Settings as values: what models make, with the same keys and defaults."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest

from hsm.config.schema import ConfigSection, SourceSection, TargetSection, parse_target
from hsm.config.sections import Section
from hsm.config.settings import (
    AfterSyncStep,
    SourceSettings,
    SshSettings,
    SyncConfig,
    SyncOptions,
    TargetPaths,
    TargetSettings,
    iter_changed,
)
from hsm.config.target_sections import OptionsSection, PathsSection, SshSection, StepSection

PAIRS = [
    (OptionsSection, SyncOptions),
    (PathsSection, TargetPaths),
    (SourceSection, SourceSettings),
    (SshSection, SshSettings),
    (StepSection, AfterSyncStep),
    (TargetSection, TargetSettings),
]


@pytest.mark.parametrize(("model", "value"), PAIRS)
def test_a_value_has_the_keys_and_defaults_of_its_model(model: type[Section], value: type) -> None:
    known = {field.name: field for field in fields(value)}
    assert list(known) == list(model.model_fields)
    for name, field in model.model_fields.items():
        has_default = known[name].default is not MISSING or known[name].default_factory is not MISSING
        assert has_default is not field.is_required()
        if has_default:
            factory = known[name].default_factory
            default = known[name].default if factory is MISSING else factory()
            made = field.get_default(call_default_factory=True)
            assert default == (made.make() if isinstance(made, Section) else made)


def test_the_whole_has_the_keys_of_the_file() -> None:
    assert [field.name for field in fields(SyncConfig)] == [*ConfigSection.model_fields, "source_keys"]


def test_sections_in_lists_become_values_too() -> None:
    paths = {"project_root": "/p", "sweeps": "s", "wandb": "w"}
    target = parse_target({"paths": paths, "after_sync": [{"run": "make"}], "options": {"exclude": ["*.ckpt"]}})
    assert target.paths == TargetPaths(project_root="/p", sweeps="/p/s", wandb="/p/w")
    assert target.after_sync == (AfterSyncStep(run="make"),)
    assert dict(iter_changed(target.options)) == {"exclude": ("*.ckpt",)}
    assert not target.uploads
    assert target.is_folder
