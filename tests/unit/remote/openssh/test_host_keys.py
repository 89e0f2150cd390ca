"""Host keys: names, places and fingerprints, with a real `ssh-keygen`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.errors import ChangedHostKeyError, LoginRefusedError, UnknownHostKeyError, UnreachableError
from hsm.process.runner import Runner
from hsm.remote.openssh.host_keys import (
    StoredKey,
    explain_host_key,
    list_known_keys,
    list_stored_keys,
    make_known_name,
    parse_offending_keys,
    parse_offered_key,
    parse_stored_keys,
    split_file_names,
)

OFFERED = "debug1: Server host key: {} SHA256:Zx1xVbcEBHVTxT0O0zWJX1a1Uj3hhQ6OCGnZ9Q2VwEU\n"
PRINT = "SHA256:Zx1xVbcEBHVTxT0O0zWJX1a1Uj3hhQ6OCGnZ9Q2VwEU"


@pytest.mark.parametrize(
    ("host", "port", "alias", "name"),
    [
        pytest.param("cluster", "22", "", "cluster", id="the usual port"),
        pytest.param("cluster", "", "", "cluster", id="no port"),
        pytest.param("cluster", "2222", "", "[cluster]:2222", id="another port"),
        pytest.param("fe80::1", "2222", "", "[fe80::1]:2222", id="IPv6"),
        pytest.param("cluster", "2222", "my-cluster", "my-cluster", id="an alias, never with its port"),
        pytest.param("cluster", "2222", "none", "[cluster]:2222", id="no alias"),
    ],
)
def test_a_host_is_named_as_ssh_stores_it(host: str, port: str, alias: str, name: str) -> None:
    assert make_known_name(host, port, alias) == name


@pytest.mark.parametrize(
    ("log", "offered"),
    [
        pytest.param(OFFERED.format("ssh-ed25519"), f"ED25519 {PRINT}", id="ED25519"),
        pytest.param(OFFERED.format("ssh-rsa"), f"RSA {PRINT}", id="RSA"),
        pytest.param(OFFERED.format("ecdsa-sha2-nistp256"), f"ECDSA {PRINT}", id="ECDSA"),
        pytest.param(OFFERED.format("sk-ssh-ed25519@openssh.com"), f"ED25519-SK {PRINT}", id="a security key"),
        pytest.param(OFFERED.format("ssh-ed25519").replace("\n", "\r\n"), f"ED25519 {PRINT}", id="DOS lines"),
        pytest.param(
            f'debug1: Server host certificate: ssh-ed25519-cert-v01@openssh.com {PRINT}, serial 0 ID "x" CA ssh-rsa\n',
            f"ED25519 {PRINT}",
            id="a certificate",
        ),
        pytest.param(
            f"The fingerprint for the ED25519 key sent by the remote host is\n{PRINT}.\nPlease contact your\n",
            f"ED25519 {PRINT}",
            id="in the warning alone",
        ),
        pytest.param(
            f"debug1: kex_exchange_identification: banner line 0: debug1: Server host key: ssh-rsa {PRINT}\n",
            "",
            id="what the server says before",
        ),
        pytest.param("Host key verification failed.\n", "", id="nothing"),
    ],
)
def test_the_offered_key_is_found(log: str, offered: str) -> None:
    assert parse_offered_key(log) == offered


def test_the_places_of_keys_in_the_way_are_found() -> None:
    log = "Offending ED25519 key in /home/ada lovelace/known:hosts:12\r\nOffending RSA key in /etc/ssh/known:3\n"
    places = [key.place for key in parse_offending_keys(log * 2)]
    assert places == ["/home/ada lovelace/known:hosts:12", "/etc/ssh/known:3"]


def test_keys_are_read_with_their_lines_and_markers() -> None:
    output = (
        "# Host cluster found: line 2 \ncluster ED25519 SHA256:abc a comment\n"
        "# Host cluster found: line 7 CA\ncluster RSA SHA256:def\n"
        "# Host cluster found: line 8 REVOKED\ncluster ECDSA SHA256:ghi\n"
    )
    assert parse_stored_keys(output, "/k") == [
        StoredKey("/k", 2, "ED25519 SHA256:abc"),
        StoredKey("/k", 7, "RSA SHA256:def", "CA"),
        StoredKey("/k", 8, "ECDSA SHA256:ghi", "REVOKED"),
    ]
    assert parse_stored_keys("", "/k") == []


@pytest.mark.parametrize(
    ("text", "existing", "names"),
    [
        pytest.param("/a /b", (), ["/a", "/b"], id="none exists"),
        pytest.param("/a b /c", ("/a b",), ["/a b", "/c"], id="a blank in a name"),
        pytest.param("/c /a b", ("/a b", "/c"), ["/c", "/a b"], id="a blank in the last"),
        pytest.param("none", (), [], id="none"),
        pytest.param("", (), [], id="nothing"),
    ],
)
def test_files_are_told_apart(text: str, existing: tuple[str, ...], names: list[str]) -> None:
    assert split_file_names(text, lambda name: name in existing) == names


@pytest.fixture
def make_key(tmp_path: Path, require_program: Callable[..., None]) -> Callable[[str], tuple[str, str]]:
    """Return a function that makes a key of a type: its line for known hosts, and its fingerprint."""
    require_program("ssh-keygen")

    def make(kind: str) -> tuple[str, str]:
        path = tmp_path / f"key-{len(list(tmp_path.iterdir()))}"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
        shown = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], check=True, capture_output=True, text=True)
        return " ".join(path.with_suffix(".pub").read_text().split()[:2]), shown.stdout.split()[1]

    return make


@pytest.mark.parametrize("is_hashed", [False, True], ids=["plain", "hashed"])
def test_known_keys_are_looked_up_in_all_files(
    is_hashed: bool, make_key: Callable[[str], tuple[str, str]], tmp_path: Path
) -> None:
    (one, print_one), (other, print_other), (foreign, _) = make_key("ed25519"), make_key("ecdsa"), make_key("ed25519")
    user, everybody = tmp_path / "known hosts", tmp_path / "global"
    user.write_text(f"# mine\nother {foreign}\n[cluster]:2222 {one}\n")
    everybody.write_text(f"[cluster]:2222 {other}\ncluster {foreign}\n")
    if is_hashed:
        for path in (user, everybody):
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    before = user.read_bytes()
    settings = {"userknownhostsfile": f"{user} {tmp_path}/none", "globalknownhostsfile": str(everybody)}
    assert list_known_keys(Runner(), settings, name="[cluster]:2222") == [
        StoredKey(str(user), 3, f"ED25519 {print_one}"),
        StoredKey(str(everybody), 1, f"ECDSA {print_other}"),
    ]
    assert user.read_bytes() == before
    assert list_stored_keys(Runner(), str(user), name="nobody") == []
    assert list_stored_keys(Runner(), str(tmp_path), name="other") == []


def explain(kind: type[UnreachableError], log: str) -> UnreachableError:
    plain = kind("plain", hint="by itself", detail="raw")
    return explain_host_key(plain, log, runner=Runner(), name="[cluster]:2222", command="ssh -p 2222 cluster")


def test_without_more_in_the_log_an_error_stays_as_it_is() -> None:
    assert explain(UnknownHostKeyError, "").message == explain(ChangedHostKeyError, "").message == "plain"
    assert explain(LoginRefusedError, OFFERED.format("ssh-rsa")).message == "plain"


def test_where_the_stored_key_cannot_be_read_its_place_is_told(tmp_path: Path) -> None:
    log = OFFERED.format("ssh-rsa") + f"Offending ED25519 key in {tmp_path}/known hosts:4\n"
    error = explain(ChangedHostKeyError, log)
    assert f"it offers RSA {PRINT}, stored is the key in {tmp_path}/known hosts:4." in error.message
    assert error.hint.splitlines()[1:] == [
        f"  ssh-keygen -R '[cluster]:2222' -f '{tmp_path}/known hosts'",
        "  ssh -p 2222 cluster",
    ]
    assert (type(error), error.kind, error.detail) == (ChangedHostKeyError, "host_key_changed", "raw")


def test_an_authority_is_not_in_the_way(make_key: Callable[[str], tuple[str, str]], tmp_path: Path) -> None:
    (authority, print_authority), (old, print_old) = make_key("ed25519"), make_key("ed25519")
    path = tmp_path / "known"
    path.write_text(f"@cert-authority [cluster]:2222 {authority}\n[cluster]:2222 {old}\n")
    error = explain(ChangedHostKeyError, OFFERED.format("ssh-ed25519") + f"Offending ED25519 key in {path}:2\n")
    assert f"stored is ED25519 {print_old} in {path}:2." in error.message
    assert print_authority not in error.message
