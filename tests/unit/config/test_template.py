import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.config.load import parse_document
from hsm.config.loaded import select_targets
from hsm.config.schema import ConfigSection, SourceSection, TargetSection
from hsm.config.target_sections import OptionsSection, PathsSection, SshSection
from hsm.config.template.commented import GITIGNORE, check_project_name, make_template
from hsm.errors import UsageError


def test_template_loads_and_its_paths_carry_the_name() -> None:
    config = parse_document(make_template("Encoded-CVPR"), "f")[0]
    (target,) = select_targets(config, []).values()
    assert target.paths == PathsSection(
        project_root="~/code/Encoded-CVPR",
        sweeps="~/code/Encoded-CVPR/sweeps",
        wandb="~/code/Encoded-CVPR/wandb",
    )


@pytest.mark.parametrize(
    "model", [ConfigSection, SourceSection, TargetSection, PathsSection, SshSection, OptionsSection]
)
def test_template_shows_every_setting(model: type[ConfigSection]) -> None:
    text = make_template("p")
    assert [key for key in model.model_fields if not re.search(rf"^[ #]*{key}:", text, re.MULTILINE)] == []


def test_commented_settings_are_right_when_uncommented() -> None:
    text = re.sub(r"^( *)# ((  )*([\w*\"]+:| *\[| *\.ssh/).*)$", r"\1\2", make_template("p"), flags=re.MULTILINE)
    config = parse_document(text, "f")[0]
    assert config.sync_targets["desktop"].paths == config.sync_targets["hpc"].paths
    target = config.sync_targets["hpc"]
    assert config.source == SourceSection()
    assert target.options == OptionsSection()
    assert "secret_patterns" in target.options.model_fields_set
    assert target.secrets == "warn"
    assert (target.user, target.port, target.rsync_path) == ("me", 22, "/opt/bin/rsync")
    assert target.ssh.options == {"ServerAliveInterval": "15"}
    assert config.sweeps["sweep_2024*"].paths.wandb == "/archive/wandb"
    assert config.sweeps["sweep_2024*"].targets["hpc"].options.max_depth == 2


@given(st.text(max_size=40))
def test_whatever_name_is_accepted_lands_in_the_paths_alone(name: str) -> None:
    try:
        check_project_name(name)
    except UsageError:
        with pytest.raises(UsageError):
            make_template(name)
        return
    config = parse_document(make_template(name), "f")[0]
    expected = parse_document(make_template("p"), "f")[0].model_dump()
    expected["sync_targets"]["hpc"]["paths"] = {
        "project_root": f"~/code/{name}",
        "sweeps": f"~/code/{name}/sweeps",
        "wandb": f"~/code/{name}/wandb",
    }
    assert config.model_dump() == expected


@pytest.mark.parametrize(
    "name",
    ["Encoded-CVPR", "my project", "étude", "a: b", "{x}", "it's", 'say "x"', "a #b", "a\\b", "[x]", "100%", "🎉"],
)
def test_good_name(name: str) -> None:
    assert parse_document(make_template(name), "f")[0].sync_targets["hpc"].paths.wandb == f"~/code/{name}/wandb"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param(" a", id="leading space"),
        pytest.param(".", id="dot"),
        pytest.param("..", id="two dots"),
        pytest.param("a/b", id="slash"),
        pytest.param("a\nhost: evil", id="newline"),
        pytest.param("a\x85b", id="unicode newline"),
        pytest.param("a\x00", id="null byte"),
        pytest.param("-x", id="leading dash"),
        pytest.param("\udcff", id="not UTF-8"),
        pytest.param("é" * 128, id="too long"),
    ],
)
def test_bad_name(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_project_name(name)
    assert caught.value.kind == "bad_project_name"
    assert caught.value.message.isprintable()
    assert "--project-name" in caught.value.hint


def test_gitignore_names_what_hsm_keeps() -> None:
    lines = [line for line in GITIGNORE.splitlines() if not line.startswith("#")]
    assert lines == ["cache/", "sync/", "project.json"]
