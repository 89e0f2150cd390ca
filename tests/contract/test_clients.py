"""The promises of both SSH clients, OpenSsh and ParamikoClient, against a real sshd; and those of the second alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from private_sshd import PrivateSshd

from hsm.errors import TargetError, UnreachableError
from hsm.process.runner import CommandStoppedError, Runner
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.paramiko.known_hosts import describe_key, load_known_hosts
from hsm.remote.paramiko.login import HostKeyPolicy
from tests.contract.conftest import make_settings, start_sftp_only

Client = OpenSsh | ParamikoClient
MakeClient = Callable[..., Client]
StartSshd = Callable[..., PrivateSshd]


@pytest.fixture(params=["openssh", "paramiko"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Return a function that makes a client of a kind; further arguments change the target's `ssh` section."""
    made: list[Client] = []

    def make(sshd: PrivateSshd, *, host: str = "", runner: Runner | None = None, **ssh: object) -> Client:
        kind = OpenSsh if request.param == "openssh" else ParamikoClient
        settings = replace(make_settings(sshd, **ssh), host=host or sshd.host)
        made.append(kind("desktop", settings, runner or Runner(), pauses_seconds=(0.2, 0.2)))
        return made[-1]

    yield make
    for client in made:
        client.logout()


def read_host_key(sshd: PrivateSshd) -> tuple[str, str]:
    kind, key = (sshd.folder / "host_key.pub").read_text().split()[:2]
    return kind, key


def get_fingerprint(path: Path) -> str:
    argv = ["ssh-keygen", "-l", "-E", "sha256", "-f", str(path)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[1]


def add_key(path: Path, *, passphrase: str = "", kind: str = "ed25519") -> Path:
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


def test_a_program_gets_its_input_and_gives_its_output_complaint_and_status(
    make_client: MakeClient, sshd: PrivateSshd
) -> None:
    client = make_client(sshd)
    content = os.urandom(3_000_000)
    completed = client.run("cat; echo complaint >&2; (exit 7)", stdin=content)
    assert (completed.returncode, completed.stdout, completed.stderr_text) == (7, content, "complaint\n")
    assert client.run("printf '%s' \"$0\"").returncode == 0


def test_a_program_need_not_read_its_input(make_client: MakeClient, sshd: PrivateSshd) -> None:
    assert make_client(sshd).run("echo done", stdin=b"x" * 5_000_000).stdout == b"done\n"


def test_one_login_serves_everything_until_the_logout(make_client: MakeClient, sshd: PrivateSshd) -> None:
    client = make_client(sshd)
    client.login()
    client.login()
    assert [client.run(f"echo {number}").stdout for number in range(3)] == [b"0\n", b"1\n", b"2\n"]
    assert sshd.count_logins() == 1
    assert client.logout()
    assert not client.logout()
    sshd.wait_no_connections()


def test_several_threads_share_it(make_client: MakeClient, sshd: PrivateSshd) -> None:
    client = make_client(sshd)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(client.run("cat", stdin=b"x").stdout)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"x"] * 6
    assert sshd.count_logins() == 1


def test_noise_of_start_up_files_is_told_apart(make_client: MakeClient, sshd: PrivateSshd) -> None:
    (sshd.home / ".bashrc").write_text("echo noise\n")
    client = make_client(sshd)
    assert client.run("echo answer").stdout == b"answer\n"
    assert client.noise.strip() in (b"noise", b"")  # a shell may read the file or not


def test_a_dropped_connection_is_made_anew(make_client: MakeClient, sshd: PrivateSshd) -> None:
    client = make_client(sshd)
    client.run("true")
    sshd.kill_sessions()
    assert client.run("echo again").stdout == b"again\n"
    assert sshd.count_logins() == 2


def test_an_interrupt_ends_what_runs_and_lets_the_next_run(make_client: MakeClient, sshd: PrivateSshd) -> None:
    runner = Runner()
    client = make_client(sshd, runner=runner)
    client.login()
    timer = threading.Timer(0.5, runner.interrupt)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(CommandStoppedError):
        client.run("sleep 30")
    assert time.monotonic() - begin < 15
    assert client.run("echo tidy").stdout == b"tidy\n"


def test_a_server_that_serves_sftp_alone_is_no_shell(
    make_client: MakeClient, start_sshd: StartSshd, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match="allows sftp connections only") as caught:
        make_client(start_sftp_only(start_sshd, tmp_path)).run("true")
    assert caught.value.kind == "noisy_shell"


def test_an_unknown_host_key_is_refused_with_its_fingerprint(make_client: MakeClient, sshd: PrivateSshd) -> None:
    sshd.known_hosts.write_text("")
    with pytest.raises(UnreachableError) as caught:
        make_client(sshd).login()
    assert caught.value.kind == "host_key_unknown"
    assert get_fingerprint(sshd.folder / "host_key.pub") in caught.value.message
    assert f"-p {sshd.port} {sshd.host}" in caught.value.hint
    assert sshd.known_hosts.read_text() == ""
    assert sshd.count_logins() == 0


def test_a_changed_host_key_is_refused_with_both_fingerprints(
    make_client: MakeClient, sshd: PrivateSshd, tmp_path: Path
) -> None:
    other = add_key(tmp_path / "other").with_suffix(".pub")
    sshd.known_hosts.write_text(f"# first\n[{sshd.host}]:{sshd.port} {other.read_text()}")
    with pytest.raises(UnreachableError) as caught:
        make_client(sshd).login()
    error = caught.value
    assert error.kind == "host_key_changed"
    for path in (other, sshd.folder / "host_key.pub"):
        assert get_fingerprint(path) in error.message
    assert f"{sshd.known_hosts}:2" in error.message
    assert f"ssh-keygen -R '[{sshd.host}]:{sshd.port}' -f {sshd.known_hosts}" in error.hint
    assert sshd.count_logins() == 0


def test_a_hashed_name_is_known(make_client: MakeClient, sshd: PrivateSshd) -> None:
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(sshd.known_hosts)], check=True, capture_output=True)
    assert sshd.known_hosts.read_text().startswith("|1|")
    assert make_client(sshd).run("echo in").stdout == b"in\n"


def test_a_stored_key_of_another_type_than_the_preferred_one_is_asked_for(
    make_client: MakeClient, start_sshd: StartSshd, tmp_path: Path
) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    ecdsa = add_key(folder / "ecdsa_key", kind="ecdsa")
    add_key(folder / "host_key")
    sshd = start_sshd(folder=folder, settings={"HostKey": f"{folder / 'host_key'}\nHostKey {ecdsa}"})
    sshd.known_hosts.write_text(f"[{sshd.host}]:{sshd.port} {ecdsa.with_suffix('.pub').read_text()}")
    assert make_client(sshd).run("echo in").stdout == b"in\n"


def test_a_revoked_host_key_is_refused(make_client: MakeClient, sshd: PrivateSshd) -> None:
    kind, key = read_host_key(sshd)
    with sshd.known_hosts.open("a") as stream:
        stream.write(f"@revoked * {kind} {key}\n")
    with pytest.raises(UnreachableError) as caught:
        make_client(sshd).login()
    assert caught.value.kind == "host_key_revoked"


def test_a_refused_login_is_tried_once(make_client: MakeClient, sshd: PrivateSshd, tmp_path: Path) -> None:
    key = add_key(tmp_path / "stranger")
    with pytest.raises(UnreachableError) as caught:
        make_client(sshd, identity_file=str(key)).login()
    assert caught.value.kind == "login_refused"
    assert sshd.log_text().count("Connection from") == 1


def test_nobody_is_asked_for_a_passphrase_in_a_script(
    make_client: MakeClient, sshd: PrivateSshd, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "locked", passphrase="secret")
    with (sshd.folder / "user_key.pub").open("a") as stream:
        stream.write(key.with_suffix(".pub").read_text())
    with pytest.raises(UnreachableError) as caught:
        make_client(sshd, identity_file=str(key)).login()
    assert caught.value.kind == "login_refused"


def test_a_certificate_logs_in(make_client: MakeClient, start_sshd: StartSshd, tmp_path: Path) -> None:
    authority, key = add_key(tmp_path / "ca"), add_key(tmp_path / "id")
    sshd = start_sshd(settings={"TrustedUserCAKeys": str(authority.with_suffix(".pub")), "AuthorizedKeysFile": "none"})
    argv = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", sshd.user, str(key.with_suffix(".pub"))]
    subprocess.run(argv, check=True, capture_output=True)
    assert make_client(sshd, identity_file=str(key)).run("echo in").stdout == b"in\n"


def test_the_agents_key_logs_in(
    make_client: MakeClient, sshd: PrivateSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("ssh-agent") is None:
        pytest.skip("there is no ssh-agent")
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", str(sshd.identity_file)], check=True, capture_output=True)
        assert make_client(sshd, identity_file=None).run("echo in").stdout == b"in\n"
    finally:
        agent.kill()
        agent.wait()


def make_client_behind(jump: PrivateSshd, sshd: PrivateSshd, make_client: MakeClient, tmp_path: Path) -> Client:
    """A client whose way leads through a jump host, which only an included file tells of."""
    config = tmp_path / "config"
    config.write_text(f"Include {jump.ssh_config}\n")
    config.chmod(0o600)
    options = {"UserKnownHostsFile": str(sshd.known_hosts), "ProxyJump": jump.alias}
    return make_client(sshd, config=str(config), options=options)


def test_a_jump_host_is_gone_through(make_client: MakeClient, start_sshd: StartSshd, tmp_path: Path) -> None:
    jump, sshd = start_sshd(alias="bastion"), start_sshd()
    assert make_client_behind(jump, sshd, make_client, tmp_path).run("echo in").stdout == b"in\n"
    assert (jump.count_logins(), sshd.count_logins()) == (1, 1)


def test_the_jump_hosts_key_is_checked_too(
    make_client: MakeClient, start_sshd: StartSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "never")
    jump, sshd = start_sshd(alias="bastion"), start_sshd()
    jump.known_hosts.write_text("")
    with pytest.raises(UnreachableError):
        make_client_behind(jump, sshd, make_client, tmp_path).login()
    assert (jump.count_logins(), sshd.count_logins()) == (0, 0)


@pytest.mark.parametrize(
    ("host", "kind"), [("no-such-host.invalid", "host_unknown"), ("127.0.0.1", "connection_refused")]
)
def test_a_machine_that_is_not_there(make_client: MakeClient, sshd: PrivateSshd, host: str, kind: str) -> None:
    client = make_client(sshd, host=host)
    sshd.stop()
    with pytest.raises(UnreachableError) as caught:
        client.login()
    assert caught.value.kind == kind


def test_fabrics_own_policy_that_accepts_every_key_is_replaced(
    make_paramiko: Callable[..., ParamikoClient], sshd: PrivateSshd
) -> None:
    from fabric import Connection
    from paramiko import AutoAddPolicy

    assert isinstance(Connection("host").client._policy, AutoAddPolicy)  # else there is nothing to replace
    client = make_paramiko(sshd)
    client.login()
    assert client._connection._login is not None
    assert all(isinstance(each.client._policy, HostKeyPolicy) for each in client._connection._login.connections)


def test_without_ssh_the_key_can_be_accepted_by_the_command_that_is_named(
    make_paramiko: Callable[..., ParamikoClient],
    sshd: PrivateSshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = add_key(tmp_path / "other").with_suffix(".pub")
    shell = shutil.which("sh")
    sed = Path(shutil.which("sed") or "").parent
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for content, kind in (
        ("", "host_key_unknown"),
        (f"[{sshd.host}]:{sshd.port} {other.read_text()}", "host_key_changed"),
    ):
        sshd.known_hosts.write_text(content)
        with pytest.raises(UnreachableError) as caught:
            make_paramiko(sshd).login()
        assert caught.value.kind == kind
        for line in caught.value.hint.splitlines()[1:]:
            subprocess.run([shell or "", "-c", line], check=True, env={"PATH": str(sed)})
        assert make_paramiko(sshd).run("echo in").stdout == b"in\n"


def test_a_host_at_an_unusual_port_is_found_by_its_bare_name_as_ssh_does(sshd: PrivateSshd) -> None:
    kind, key = read_host_key(sshd)
    sshd.known_hosts.write_text(f"{sshd.host} {kind} {key}\n")
    known = load_known_hosts([f"[{sshd.host}]:{sshd.port}", sshd.host], [str(sshd.known_hosts)])
    (found,) = known.keys
    assert describe_key(kind, found.blob).endswith(get_fingerprint(sshd.folder / "host_key.pub"))


def test_a_server_out_of_sessions_refuses_a_further_one(
    make_paramiko: Callable[..., ParamikoClient], start_sshd: StartSshd
) -> None:
    client = make_paramiko(start_sshd(settings={"MaxSessions": "1"}))
    client._retry.pauses_seconds = ()
    with client.open_sftp():
        with pytest.raises(UnreachableError) as caught, client.open_sftp():
            pass
        assert caught.value.kind == "sessions_refused"
    assert client.run("echo in").stdout == b"in\n"  # the session that rests makes room


def test_a_target_without_sftp_is_told(make_paramiko: Callable[..., ParamikoClient], start_sshd: StartSshd) -> None:
    client = make_paramiko(start_sshd(settings={"Subsystem": "other /bin/true"}))
    with pytest.raises(TargetError) as caught, client.open_sftp():
        pass
    assert caught.value.kind == "sftp_missing"
