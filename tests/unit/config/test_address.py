"""Addresses of projects, and the short configuration that is made of one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.config.load import parse_document
from hsm.config.loaded import select_targets
from hsm.config.template.address import ProjectAddress, make_target_name, parse_address
from hsm.config.template.short import make_short_config
from hsm.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hpc:/p/x", ProjectAddress("hpc", "/p/x")),
        ("me@hpc.example.org:/p/x/", ProjectAddress("hpc.example.org", "/p/x", "me")),
        ("me@hpc:code/x", ProjectAddress("hpc", "~/code/x", "me")),
        ("me@hpc:~/code/x", ProjectAddress("hpc", "~/code/x", "me")),
        ("me@hpc:/a:b c/x", ProjectAddress("hpc", "/a:b c/x", "me")),
        ("[2001:db8::1]:/p/x", ProjectAddress("2001:db8::1", "/p/x")),
        ("ssh://hpc/p/x", ProjectAddress("hpc", "/p/x")),
        ("ssh://me@hpc:2222/~/x", ProjectAddress("hpc", "~/x", "me", 2222)),
        ("ssh://me@[2001:db8::1]:22/p", ProjectAddress("2001:db8::1", "/p", "me", 22)),
        ("DOMAIN\\me@hpc:/p", ProjectAddress("hpc", "/p", "DOMAIN\\me")),
    ],
)
def test_address(text: str, address: ProjectAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("hpc", "where the project is", id="no path"),
        pytest.param("me@hpc:", "where the project is", id="empty path"),
        pytest.param("/p/x", "no address", id="a path here"),
        pytest.param(":/p/x", "names no host", id="no host"),
        pytest.param("-oProxyCommand=x:/p", "begins with a dash", id="option"),
        pytest.param("-me@hpc:/p", "begins with a dash", id="option as user"),
        pytest.param("hpc:/", "root of the file system", id="root"),
        pytest.param("hpc:~", "home folder itself", id="home"),
        pytest.param("hpc:../x", "component ..", id="above"),
        pytest.param("hpc:~ann/x", "user's name", id="another's home"),
        pytest.param("hpc:$WORK/x", "variable", id="variable"),
        pytest.param("me@hpc:/p\nx", "line break", id="newline"),
        pytest.param("h\x00c:/p", "control", id="null byte"),
        pytest.param('h"c:/p', "shell", id="quote"),
        pytest.param("$(x):/p", "shell", id="substitution"),
        pytest.param("m e@hpc:/p", "white space", id="blank"),
        pytest.param("ssh://hpc:99999/p", "port", id="port"),
        pytest.param("ssh://hpc:x/p", "no address", id="port that is none"),
    ],
)
def test_no_address(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        parse_address(text)
    assert caught.value.kind == "bad_address"
    assert caught.value.message.isprintable()
    assert "me@hpc:/path/to/project" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("hpc", "hpc"),
        ("login1.hpc.example.org", "login1"),
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8::1", "2001-db8--1"),
        ("_x", "x"),
        ("\u00e9", "hpc"),
        ("a" * 80, "a" * 64),
    ],
)
def test_name_of_a_target(host: str, name: str) -> None:
    assert make_target_name(host, other="hpc") == name


WORDS = st.text(st.characters(codec="utf-8"), max_size=12)


@given(WORDS, WORDS, WORDS, st.sampled_from(["pull", "push"]))
def test_whatever_address_is_taken_lands_in_the_configuration_as_it_is(
    user: str, host: str, path: str, direction: str
) -> None:
    try:
        address = parse_address(f"{user}@{host}:/p/{path}")
    except UsageError:
        return
    name = make_target_name(address.host, other="there")
    config = parse_document(make_short_config(name, address, direction=direction), "f")[0].make()
    (target,) = select_targets(config, []).values()
    assert (target.host, target.user, target.port) == (address.host, address.user, address.port)
    assert target.paths.sweeps == f"{address.path}/sweeps"
    assert target.paths.wandb == f"{address.path}/wandb"


@pytest.mark.parametrize("word", ["yes", "No", "null", "1e3", "0x1f", "123", "1_000", "a:b", "~", "x #y"])
def test_words_that_yaml_reads_otherwise_are_quoted(word: str) -> None:
    address = ProjectAddress("h", f"/{word}", "me")
    config = parse_document(make_short_config("yes", address, direction="pull"), "f")[0].make()
    assert config.sync_targets["yes"].paths.project_root == f"/{word}"
    named = ProjectAddress("no", "/p", "null")
    target = parse_document(make_short_config("on", named, direction="push"), "f")[0].sync_targets["on"]
    assert (target.host, target.user) == ("no", "null")
