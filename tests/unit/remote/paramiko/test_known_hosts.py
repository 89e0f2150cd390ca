"""Files of known hosts: which lines mean a name, and what is said of an offered key."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import UnreachableError
from hsm.remote.paramiko.known_hosts import KnownHosts, describe_key, load_known_hosts, matches_name, parse_known_hosts

KEY = base64.b64encode(b"a key").decode()
OTHER = base64.b64encode(b"another").decode()


def hash_name(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        ("host", "host", True),
        ("host", "HOST", True),
        ("Host", "host", True),
        ("host", "host2", False),
        ("a,host,b", "host", True),
        ("*.example.org", "a.example.org", True),
        ("*.example.org", "example.org", False),
        ("h?st", "host", True),
        ("*,!host", "host", False),
        ("!host,*", "host", False),
        ("[host]:2222", "[host]:2222", True),
        ("[host]:2222", "host", False),
        ("[*]:2222", "[host]:2222", True),
        ("h[aeo]st", "host", False),
        (hash_name("host"), "host", True),
        (hash_name("host"), "Host", True),
        (hash_name("host"), "other", False),
        ("|1|not base64!|x", "host", False),
        ("|1|", "host", False),
        ("|2|a|b", "host", False),
    ],
)
def test_which_names_a_line_means(patterns: str, name: str, expected: bool) -> None:
    assert matches_name(patterns, name) is expected


@given(st.text(max_size=60), st.text(max_size=20))
def test_no_line_is_too_strange(text: str, name: str) -> None:
    assert isinstance(list(parse_known_hosts(text, "file", name)), list)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"host ssh-ed25519 {KEY}", True),
        (f"  host   ssh-ed25519 {KEY} comment here", True),
        (f"# host ssh-ed25519 {KEY}", False),
        (f"@cert-authority host ssh-ed25519 {KEY}", False),
        ("host ssh-ed25519", False),
        ("host ssh-ed25519 not/base=64", False),
        ("", False),
    ],
)
def test_which_lines_hold_a_key(line: str, found: bool) -> None:
    assert bool(list(parse_known_hosts(line, "file", "host"))) is found


def make_known(tmp_path: Path, *lines: str, names: tuple[str, ...] = ("host",)) -> KnownHosts:
    (tmp_path / "known").write_text("\n".join(lines))
    return load_known_hosts(names, [str(tmp_path / "missing"), str(tmp_path / "known")])


def test_a_key_that_is_stored_is_accepted(tmp_path: Path) -> None:
    known = make_known(tmp_path, f"host ssh-rsa {OTHER}", f"host ssh-ed25519 {KEY}")
    known.check("ssh-ed25519", b"a key", command="ssh host")
    assert known.kinds == ("ssh-rsa", "ssh-ed25519")


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ((), "host_key_unknown"),
        ((f"host ssh-rsa {OTHER}",), "host_key_unknown"),
        ((f"host ssh-ed25519 {OTHER}",), "host_key_changed"),
        ((f"@revoked * ssh-ed25519 {KEY}",), "host_key_revoked"),
        ((f"host ssh-ed25519 {KEY}", f"@revoked * ssh-ed25519 {KEY}"), "host_key_revoked"),
        ((f"@revoked * ssh-ed25519 {OTHER}",), "host_key_unknown"),
    ],
)
def test_what_is_refused(tmp_path: Path, lines: tuple[str, ...], kind: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        make_known(tmp_path, *lines).check("ssh-ed25519", b"a key", command="ssh host")
    assert caught.value.kind == kind
    assert describe_key("ssh-ed25519", b"a key") in caught.value.message


def test_a_further_name_counts_where_the_first_is_not_found(tmp_path: Path) -> None:
    names = ("[host]:2222", "host")
    assert make_known(tmp_path, f"host ssh-ed25519 {KEY}", names=names).keys
    found = make_known(tmp_path, f"host ssh-ed25519 {KEY}", f"[host]:2222 ssh-ed25519 {OTHER}", names=names)
    assert [key.blob for key in found.keys] == [b"another"]


def test_commands_quote_what_they_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's"
    folder.mkdir()
    (folder / "known").write_text(f"host ssh-ed25519 {OTHER}")
    known = load_known_hosts(["host"], [str(folder / "known")])
    with pytest.raises(UnreachableError) as caught:
        known.check("ssh-ed25519", b"a key", command="")
    assert f"sed -i.old 1d '{tmp_path}/it'\"'\"'s/known'" in caught.value.hint
