"""Diagnosis of ssh's complaints. The texts are OpenSSH's own, printed by 7.4 to 9.9."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hsm.errors import LoginRefusedError, UnreachableError
from hsm.process.runner import Runner
from hsm.remote.noise import show_bytes
from hsm.remote.openssh.diagnosis import diagnose_ssh

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is
SHA256:Zx1xVbcEBHVTxT0O0zWJX1a1Uj3hhQ6OCGnZ9Q2VwEU.
Offending ED25519 key in /home/ada/.ssh/known_hosts:3
Host key for [127.0.0.1]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""
REVOKED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@       WARNING: REVOKED HOST KEY DETECTED!               @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
The ED25519 host key for [127.0.0.1]:2222 is marked as revoked.
This could mean that a stolen key is being used to impersonate this host.
ED25519 host key for [127.0.0.1]:2222 was revoked and you have requested strict checking.
Host key verification failed.
"""
UNPROTECTED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Permissions 0644 for '/home/ada/.ssh/id' are too open.
It is required that your private key files are NOT accessible by others.
This private key will be ignored.
Load key "/home/ada/.ssh/id": bad permissions
ada@cluster: Permission denied (publickey).
"""


def diagnose(text: str, *, port: str = "22") -> UnreachableError:
    return diagnose_ssh(text, target="desktop", host="cluster", port=port, command="ssh -p 22 cluster")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(CHANGED, "host_key_changed", id="the host key has changed"),
        pytest.param(REVOKED, "host_key_revoked", id="the host key is revoked"),
        pytest.param(
            "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.\n"
            "Host key verification failed.",
            "host_key_unknown",
            id="an unknown host key",
        ),
        pytest.param("Host key verification failed.", "host_key_unknown", id="an unknown host key, in brief"),
        pytest.param(
            "ssh: Could not resolve hostname cluster: Name or service not known",
            "host_unknown",
            id="glibc's resolver",
        ),
        pytest.param(
            "ssh: Could not resolve hostname cluster: nodename nor servname provided, or not known",
            "host_unknown",
            id="macOS's resolver",
        ),
        pytest.param(
            "ssh: Could not resolve hostname cluster: Temporary failure in name resolution",
            "host_unknown",
            id="no name server",
        ),
        pytest.param(
            "ssh: connect to host cluster port 22: Connection refused", "connection_refused", id="a closed port"
        ),
        pytest.param(
            "ssh: connect to host cluster port 22: Connection timed out", "connection_timeout", id="no answer"
        ),
        pytest.param(
            "ssh: connect to host cluster port 22: Operation timed out",
            "connection_timeout",
            id="no answer, macOS",
        ),
        pytest.param(
            "Connection timed out during banner exchange\nConnection to 192.0.2.7 port 22 timed out",
            "connection_timeout",
            id="no banner",
        ),
        pytest.param("ssh: connect to host cluster port 22: No route to host", "connection_timeout", id="no route"),
        pytest.param(
            "ssh: connect to host cluster port 22: Network is unreachable", "connection_timeout", id="no network"
        ),
        pytest.param(
            "ada@cluster: Permission denied (publickey,keyboard-interactive).", "login_refused", id="a refused key"
        ),
        pytest.param(
            "Warning: Identity file /no/such not accessible: No such file or directory.\n"
            "ada@cluster: Permission denied (publickey).",
            "key_missing",
            id="a missing key",
        ),
        pytest.param(
            "Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures\n"
            "Disconnected from 192.0.2.7 port 22",
            "too_many_keys",
            id="too many keys",
        ),
        pytest.param(
            "Received disconnect from 192.0.2.7: 2: Too many authentication failures for ada",
            "too_many_keys",
            id="too many keys, an old server",
        ),
        pytest.param(
            "no such identity: /home/ada/.ssh/id_hpc: No such file or directory\n"
            "ada@cluster: Permission denied (publickey).",
            "key_missing",
            id="a missing key of ssh's configuration",
        ),
        pytest.param(
            "Warning: Identity file /no/such not accessible: No such file or directory.\n"
            "ssh: connect to host cluster port 22: Connection refused",
            "connection_refused",
            id="a missing key that was not asked for",
        ),
        pytest.param(UNPROTECTED, "key_unusable", id="a key that others may read"),
        pytest.param(
            'Load key "/home/ada/.ssh/id": invalid format\nada@cluster: Permission denied (publickey).',
            "key_unusable",
            id="a key of another format",
        ),
        pytest.param(
            'Load key "/home/ada/.ssh/id": error in libcrypto\nada@cluster: Permission denied (publickey).',
            "key_unusable",
            id="a key in DOS lines",
        ),
        pytest.param(
            'Load key "/home/ada/.ssh/id": Permission denied\nada@cluster: Permission denied (publickey).',
            "key_unusable",
            id="a key that cannot be read",
        ),
        pytest.param(
            "mux_client_request_session: session request failed: Session open refused by peer\n"
            "kex_exchange_identification: Connection closed by remote host\n"
            "Connection closed by UNKNOWN port 65535",
            "sessions_refused",
            id="MaxSessions reached",
        ),
        pytest.param(
            "mux_client_request_session: read from master failed: Broken pipe",
            "connection_dropped",
            id="the shared login ends under a session",
        ),
        pytest.param(
            "mux_client_request_session: read from master failed: Connection reset by peer",
            "connection_dropped",
            id="the shared login is killed under a session",
        ),
        pytest.param(
            "Control socket connect(/tmp/hsm-1000/0123456789abcdef): Connection refused\n"
            "kex_exchange_identification: Connection closed by remote host\n"
            "Connection closed by UNKNOWN port 65535",
            "connection_dropped",
            id="a socket without its master",
        ),
        pytest.param(
            "kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535",
            "connection_dropped",
            id="no socket",
        ),
        pytest.param(
            "banner exchange: Connection to UNKNOWN port 65535: Broken pipe",
            "connection_dropped",
            id="no socket, when ssh is quick",
        ),
        pytest.param(
            "ssh_exchange_identification: Connection closed by remote host",
            "connection_dropped",
            id="MaxStartups, old ssh",
        ),
        pytest.param(
            "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 192.0.2.7 port 22",
            "connection_dropped",
            id="MaxStartups",
        ),
        pytest.param("Timeout, server cluster not responding.", "connection_dropped", id="keepalive"),
        pytest.param("client_loop: send disconnect: Broken pipe", "connection_dropped", id="the network went away"),
        pytest.param(
            "command-line: line 0: Bad configuration option: foo", "bad_ssh_configuration", id="a foreign option"
        ),
        pytest.param(
            "/home/ada/.ssh/config: line 3: Bad configuration option: usekeychain\n"
            "/home/ada/.ssh/config: terminating, 1 bad configuration options",
            "bad_ssh_configuration",
            id="a macOS option",
        ),
        pytest.param(
            "Bad owner or permissions on /home/ada/.ssh/config", "bad_ssh_configuration", id="a file of others"
        ),
        pytest.param(
            "Can't open user config file /no/such: No such file or directory",
            "bad_ssh_configuration",
            id="no file",
        ),
        pytest.param(
            "Unable to negotiate with 192.0.2.7 port 22: no matching host key type found. Their offer: ssh-rsa",
            "no_common_algorithm",
            id="no common algorithm",
        ),
        pytest.param("Something new.", "unreachable", id="an unknown complaint"),
        pytest.param("", "connection_dropped", id="the shared login dies under a session, without a word"),
    ],
)
def test_a_complaint_has_a_kind_and_a_next_step(text: str, kind: str) -> None:
    error = diagnose(text)
    assert error.kind == kind
    assert error.exit_code == 10
    assert "desktop" in error.message
    assert error.hint
    assert "{" not in error.message + error.hint
    assert error.detail == "\n".join(text.strip().splitlines()[-10:])


@pytest.mark.parametrize(
    ("text", "command"),
    [
        pytest.param("Host key verification failed.", "`ssh -p 22 cluster`", id="unknown host key"),
        pytest.param(CHANGED, "`ssh -p 22 cluster`", id="changed host key"),
        pytest.param("ssh: connect to host c port 22: Connection refused", "`ssh -p 22 cluster`", id="closed port"),
        pytest.param("ada@c: Permission denied (publickey).", "`hsm sync login desktop`", id="refused login"),
        pytest.param(UNPROTECTED, "`chmod 600 /home/ada/.ssh/id`", id="unusable key"),
        pytest.param(
            "mux_client_request_session: session request failed: Session open refused by peer",
            "`parallel_transfers`",
            id="MaxSessions",
        ),
        pytest.param(
            "ssh: Could not resolve hostname cluster: Name or service not known",
            "`hsm sync list`",
            id="unknown name",
        ),
        pytest.param("something new", "`ssh -p 22 cluster`", id="unknown complaint"),
        pytest.param(
            "Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures",
            "`ssh.identity_file`",
            id="too many keys",
        ),
    ],
)
def test_the_hint_names_the_next_command(text: str, command: str) -> None:
    assert command in diagnose(text).hint


def test_a_revoked_key_is_never_to_be_accepted() -> None:
    assert "ssh -p 22" not in diagnose(REVOKED).hint


def test_the_detail_is_the_last_ten_lines() -> None:
    error = diagnose("\n".join(f"line {number}" for number in range(20)))
    assert error.detail.splitlines() == [f"line {number}" for number in range(10, 20)]
    assert "line 19" in error.message


def test_braces_in_words_stay() -> None:
    error = diagnose_ssh(
        "ssh: connect to host {} port 1: Connection refused", target="{host}", host="{}", port="1", command="{0}"
    )
    assert "{} (target {host})" in error.message


NOLOGIN = "Maintenance until Monday 8:00\nask help@example.org\n\n"
"""What pam_nologin says; ssh prints it beside its log."""


@pytest.mark.parametrize(
    ("beside", "log", "words"),
    [
        pytest.param(
            NOLOGIN,
            "Connection closed by 192.0.2.7 port 22",
            ', and said "Maintenance until Monday 8:00 ask help@example.org".',
            id="nobody may log in",
        ),
        pytest.param("", "Connection closed by 192.0.2.7 port 22", "of the login of target desktop.", id="no word"),
        pytest.param(
            "",
            "Received disconnect from 192.0.2.7 port 22:2: Account is locked",
            ', and said "Account is locked".',
            id="a farewell",
        ),
        pytest.param(
            "Warning: Identity file /no/such not accessible: No such file or directory.\n",
            "ada@cluster: Permission denied (publickey).",
            "and the private key /no/such cannot be read: No such file or directory.",
            id="a missing key",
        ),
        pytest.param(
            "Authorised users only\n",
            "ada@cluster: Permission denied (publickey).",
            "it takes publickey.",
            id="a banner",
        ),
    ],
)
def test_what_ssh_prints_beside_its_log_is_heard(beside: str, log: str, words: str) -> None:
    error = diagnose_ssh(
        f"{AUTHENTICATING}{log}", target="desktop", host="cluster", port="22", command="ssh cluster", beside=beside
    )
    assert error.message.endswith(words)
    assert isinstance(error, LoginRefusedError)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        pytest.param(("-p", "1", "127.0.0.1"), "connection_refused", id="a closed port"),
        pytest.param(("no..such",), "host_unknown", id="an unknown name"),
        pytest.param(("-o", "NoSuchOption=1", "127.0.0.1"), "bad_ssh_configuration", id="an unknown option"),
        pytest.param(("-F", "/no/such", "127.0.0.1"), "bad_ssh_configuration", id="no configuration file"),
        pytest.param(("-o", "ProxyCommand=false", "127.0.0.1"), "connection_dropped", id="no shared login"),
    ],
)
def test_this_machines_ssh_is_understood(
    options: tuple[str, ...], kind: str, require_program: Callable[..., None]
) -> None:
    require_program("ssh")
    argv = ["ssh", *(() if "-F" in options else ("-F", "none")), "-T", "-o", "BatchMode=yes", *options, "true"]
    completed = Runner().run(argv, timeout_seconds=30)
    assert completed.returncode == 255
    assert diagnose(completed.stderr_text).kind == kind


# What the log of a login holds besides: OpenSSH 9.2 at DEBUG1.
CONNECTED = """\
debug1: Connecting to cluster [192.0.2.7] port 22.
debug1: Connection established.
debug1: Local version string SSH-2.0-OpenSSH_9.2p1
"""
GREETED = f"{CONNECTED}debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1\n"
AUTHENTICATING = f"{GREETED}debug1: SSH2_MSG_SERVICE_ACCEPT received\n"
CLOSED = "kex_exchange_identification: Connection closed by remote host\nConnection closed by 192.0.2.7 port 22\n"
RESET = "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 192.0.2.7 port 22\n"


def make_banner(text: str) -> str:
    return f"{CONNECTED}debug1: kex_exchange_identification: banner line 0: {text}\n{RESET}"


@pytest.mark.parametrize(
    ("log", "kind", "words"),
    [
        pytest.param(CONNECTED + CLOSED, "throttled", "The server is dropping connections", id="closed at once"),
        pytest.param(CONNECTED + RESET, "throttled", "The server is dropping connections", id="reset at once"),
        pytest.param(
            f"{CONNECTED}ssh_exchange_identification: Connection closed by remote host", "throttled", "", id="old ssh"
        ),
        pytest.param(f"{GREETED}Connection reset by 192.0.2.7 port 22", "throttled", "", id="reset after a greeting"),
        pytest.param(make_banner("Exceeded MaxStartups"), "throttled", "(MaxStartups)", id="MaxStartups"),
        pytest.param(
            make_banner("Not allowed at this time"), "throttled", "as it does after failed logins", id="a penalty"
        ),
        pytest.param(make_banner("220 mail ready"), "not_ssh", "it says '220 mail ready'", id="a mail server"),
        pytest.param(
            f"{AUTHENTICATING}Connection closed by 192.0.2.7 port 22",
            "login_refused",
            "in the middle of the login",
            id="closed while the login is made",
        ),
        pytest.param(
            f"{AUTHENTICATING}Received disconnect from 192.0.2.7 port 22:2: Account is locked",
            "login_refused",
            "in the middle of the login",
            id="told to go while the login is made",
        ),
        pytest.param(
            f"{AUTHENTICATING}ada@cluster: Permission denied (publickey,keyboard-interactive).",
            "login_refused",
            "it takes publickey, keyboard-interactive",
            id="refused",
        ),
        pytest.param(f"{CONNECTED}Something new.", "unreachable", ": Something new.", id="an unknown complaint"),
        pytest.param(CONNECTED, "unreachable", "ssh said nothing", id="nothing said"),
    ],
)
def test_the_log_of_a_login_tells_how_far_it_came(log: str, kind: str, words: str) -> None:
    error = diagnose(log)
    assert error.kind == kind
    assert words in error.message
    assert "debug1" not in error.message + error.hint + error.detail


def test_what_ends_at_a_jump_host_is_not_blamed_on_the_target() -> None:
    log = f"{CONNECTED}kex_exchange_identification: Connection closed by remote host\n"
    log += "Connection closed by UNKNOWN port 65535\n"
    words = {"target": "desktop", "host": "cluster", "port": "22", "command": "ssh cluster"}
    error = diagnose_ssh(log, **words, jump="gate")
    assert (error.kind, "through gate" in error.message) == ("jump_failed", True)
    assert diagnose_ssh(log.replace(CONNECTED, ""), **words, jump="gate").kind == "connection_dropped"


COMPLAINTS = [
    "ssh: connect to host cluster port 22: Connection refused",
    "ssh: Could not resolve hostname cluster: Name or service not known",
    "Connection timed out during banner exchange",
    "Host key verification failed.",
    "Host key for cluster has changed and you have requested strict checking.",
    "ada@cluster: Permission denied (publickey).",
    "Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures",
    "mux_client_request_session: session request failed: Session open refused by peer",
    "kex_exchange_identification: Connection closed by remote host",
    "Connection closed by 192.0.2.7 port 22",
    "client_loop: send disconnect: Broken pipe",
    "Timeout, server cluster not responding.",
    "Bad owner or permissions on /home/ada/.ssh/config",
    'Load key "/home/ada/.ssh/id": invalid format',
]


@pytest.mark.parametrize("complaint", COMPLAINTS)
@pytest.mark.parametrize(
    "line",
    [
        'rsync: [sender] send_files failed to open "/p/{}": Permission denied (13)',
        'file has vanished: "/p/{}"',
        "/home/ada/.bashrc: line 3: {}: No such file or directory",
        "Welcome to the cluster. {} is what you see when it is down.",
    ],
)
def test_a_name_or_a_text_that_holds_a_complaint_is_none(complaint: str, line: str) -> None:
    assert diagnose(complaint).kind != "unreachable"
    assert diagnose(line.format(complaint)).kind == "unreachable"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        pytest.param(b"Welcome\n", r'"Welcome\n"', id="a line"),
        pytest.param(b"\x1b[1mbold\x00", r'"\x1b[1mbold\x00"', id="control characters"),
        pytest.param("Grüße".encode(), '"Grüße"', id="letters"),
        pytest.param(b"\xff\xfe", r'"\xff\xfe"', id="no UTF-8"),
        pytest.param("\u202e".encode(), r'"\u202e"', id="a bidirectional control"),
        pytest.param(b"a" * 21, '"' + "a" * 20 + '"...', id="too long"),
        pytest.param(b"", '""', id="nothing"),
    ],
)
def test_noise_is_shown_escaped(content: bytes, shown: str) -> None:
    assert show_bytes(content, limit=20) == shown
