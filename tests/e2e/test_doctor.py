"""`hsm sync doctor`: what it finds at real servers, and that it is polite."""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from private_sshd import PrivateSshd

from hsm.sync.doctor.rows import NAMES
from tests.conftest import FLAT_SWEEP
from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeProject, Project

StartSshd = Callable[..., PrivateSshd]
Rows = dict[str, dict[str, str]]


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


def run_doctor(project: Project, *args: str, **options: Any) -> tuple[int, dict[str, Rows]]:
    """Run it with `--json`; returns the exit code, and the rows by target (`here`: this machine) and name."""
    completed = project.hsm("sync", "doctor", *args, "--json", **options)
    document = json.loads(completed.stdout)
    assert (document["schema"], document["command"], document["error"]) == (1, "sync doctor", None)
    assert document["exit_code"] == completed.returncode
    assert completed.stderr == ""
    groups = {"here": document["here"], **{target["name"]: target for target in document["targets"]}}
    for group in groups.values():
        assert all(set(check) == {"name", "state", "found", "hint"} and check["found"] for check in group["checks"])
        assert all(check["hint"] for check in group["checks"] if check["state"] in ("warning", "failed"))
    return completed.returncode, {
        name: {check["name"]: check for check in group["checks"]} for name, group in groups.items()
    }


def get_states(rows: Rows) -> dict[str, str]:
    return {name: row["state"] for name, row in rows.items()}


def assert_ends_at(rows: Rows, failed: str) -> None:
    """The row failed, those before it are right, and of those after it none was looked at."""
    states = get_states(rows)
    names = list(NAMES)
    assert list(states) == names
    position = names.index(failed)
    assert states[failed] == "failed"
    assert {states[name] for name in names[:position]} <= {"ok"}
    assert {states[name] for name in names[position + 1 :]} <= {"not_checked"}


def count_connections_made(sshd: PrivateSshd) -> int:
    return sshd.log_text().count("Connection from ")


def make_tools(folder: Path, *, without: str) -> str:
    """Make a folder with all programs but one, and return it as a PATH."""
    folder.mkdir()
    for path in Path("/usr/bin").iterdir():
        if path.name != without:
            (folder / path.name).symlink_to(path)
    return str(folder)


def test_a_target_that_is_ready(make_project: MakeProject) -> None:
    project = make_project(options={"parallel_transfers": 3})
    code, groups = run_doctor(project)
    rows = groups["desktop"]
    assert set(groups["here"]) == {"hsm", "python", "ssh", "rsync"}
    assert "OpenSSH" in groups["here"]["ssh"]["found"]
    assert list(rows) == list(NAMES)
    assert set(get_states(rows).values()) <= {"ok", "warning"}
    assert code == 0
    assert f"port {project.sshd.port}" in rows["settings"]["found"]
    assert "SHA256:" in rows["host_key"]["found"]
    assert "protocol" in rows["rsync"]["found"]
    assert "3 at once" in rows["sessions"]["found"]
    assert "can be made" in rows["wandb_folder"]["found"]


def test_it_makes_one_login_and_leaves_nothing_but_that(make_project: MakeProject) -> None:
    project = make_project()
    known = project.sshd.known_hosts.read_bytes()
    here = sorted(project.folder.rglob("*"))
    run_doctor(project)
    run_doctor(project)
    assert project.sshd.count_logins() == count_connections_made(project.sshd) == 1
    assert not project.target_root.exists()
    assert list(project.sshd.home.iterdir()) == []
    assert sorted(project.folder.rglob("*")) == here
    assert project.sshd.known_hosts.read_bytes() == known


@pytest.mark.slow
def test_a_name_that_does_not_resolve(make_project: MakeProject) -> None:
    project = make_project()
    project.set_target(host="no-such-host.invalid")
    code, groups = run_doctor(project)
    assert code == 10
    assert_ends_at(groups["desktop"], "name")


def test_a_closed_port(make_project: MakeProject) -> None:
    project = make_project()
    project.set_target(port=1)
    code, groups = run_doctor(project)
    assert code == 10
    assert_ends_at(groups["desktop"], "connection")
    assert "refuses connections to port 1" in groups["desktop"]["connection"]["found"]


@pytest.mark.slow
def test_a_server_that_is_no_ssh_server(make_project: MakeProject) -> None:
    project = make_project()
    with socket.create_server(("127.0.0.1", 0)) as server:
        project.set_target(port=server.getsockname()[1])

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        code, groups = run_doctor(project)
        thread.join()
    assert code == 10
    assert_ends_at(groups["desktop"], "connection")
    assert "does not speak SSH: it says 'HTTP/1.1 400 Bad Request'" in groups["desktop"]["connection"]["found"]


@pytest.mark.slow
def test_a_server_that_drops_connections(start_sshd: StartSshd, make_project: MakeProject) -> None:
    sshd = start_sshd(settings={"MaxStartups": "1:100:1"})
    with socket.create_connection((sshd.host, sshd.port)) as waiting:
        assert waiting.recv(10).startswith(b"SSH-2.0")
        code, groups = run_doctor(make_project(sshd))
    assert code == 10
    assert_ends_at(groups["desktop"], "connection")
    assert "The server is dropping connections" in groups["desktop"]["connection"]["found"]
    assert "MaxStartups" in groups["desktop"]["connection"]["found"]
    assert sshd.log_text().count("drop connection") == 1


@parametrize("is_changed", [False, True], quick=[True], ids=["unknown", "changed"])
def test_a_host_key_that_is_not_known(is_changed: bool, start_sshd: StartSshd, make_project: MakeProject) -> None:
    sshd, other = start_sshd(), start_sshd()
    place, key = sshd.known_hosts.read_text().split()[0], other.known_hosts.read_text().partition(" ")[2]
    sshd.known_hosts.write_text(f"{place} {key}" if is_changed else "")
    code, groups = run_doctor(make_project(sshd))
    assert code == 10
    assert_ends_at(groups["desktop"], "host_key")
    row = groups["desktop"]["host_key"]
    assert row["found"].count("SHA256:") == (2 if is_changed else 1)
    assert ("ssh-keygen -R" in row["hint"]) is is_changed
    assert count_connections_made(sshd) == 1


def test_a_refused_key_is_tried_once(start_sshd: StartSshd, make_project: MakeProject) -> None:
    sshd, other = start_sshd(), start_sshd()
    project = make_project(sshd)
    options = {"UserKnownHostsFile": str(sshd.known_hosts), "IdentitiesOnly": "yes"}
    project.set_target(ssh={"identity_file": str(other.identity_file), "options": options})
    code, groups = run_doctor(project)
    assert code == 10
    assert_ends_at(groups["desktop"], "login")
    assert "it takes publickey" in groups["desktop"]["login"]["found"]
    assert (sshd.count_logins(), count_connections_made(sshd)) == (0, 1)


@pytest.mark.slow
def test_settings_that_ssh_does_not_take(make_project: MakeProject) -> None:
    project = make_project()
    project.set_target(ssh={"options": {"NoSuchOption": "1"}})
    code, groups = run_doctor(project)
    assert code == 2
    assert_ends_at(groups["desktop"], "settings")
    assert count_connections_made(project.sshd) == 0


@pytest.mark.slow
def test_a_shell_that_prints(start_sshd: StartSshd, make_project: MakeProject) -> None:
    sshd = start_sshd(shell="bash")
    (sshd.home / ".bashrc").write_text("printf 'Quota:\\t\\033[1m90%%\\n'\n")
    code, groups = run_doctor(make_project(sshd))
    assert code == 1
    states = get_states(groups["desktop"])
    assert [name for name, state in states.items() if state == "failed"] == ["shell"]
    assert "not_checked" not in states.values()
    assert r'"Quota:\t\x1b[1m90%\n"' in groups["desktop"]["shell"]["found"]
    assert ".bashrc" in groups["desktop"]["shell"]["hint"]


@pytest.mark.slow
def test_a_server_that_runs_no_commands(start_sshd: StartSshd, make_project: MakeProject) -> None:
    project = make_project(start_sshd(sftp_only=True))
    project.set_target(engine="rsync")
    code, groups = run_doctor(project)
    assert code == 1
    assert_ends_at(groups["desktop"], "shell")
    assert "sftp connections only" in groups["desktop"]["shell"]["found"]


@pytest.mark.slow
def test_no_rsync_there(start_sshd: StartSshd, make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(start_sshd(environment={"PATH": make_tools(tmp_path / "tools", without="rsync")}))
    project.set_target(engine="rsync")
    code, groups = run_doctor(project)
    assert code == 1
    states = get_states(groups["desktop"])
    assert [name for name, state in states.items() if state == "failed"] == ["rsync"]
    assert "rsync_path" in groups["desktop"]["rsync"]["hint"]
    assert groups["here"]["rsync"]["state"] != "failed"
    assert groups["desktop"]["engine"]["state"] == "not_checked"


def assert_by_sftp(rows: Rows, reason: str) -> None:
    """All is well, and the row of the engine says why SFTP is used."""
    assert not {"failed"} & set(get_states(rows).values()), rows
    assert rows["engine"]["state"] == "ok"
    assert rows["engine"]["found"].startswith(
        f"{reason} SFTP carries the files: sftp, 8 workers at most" if reason else "sftp, 8"
    )


@parametrize("keys", [{}, {"engine": "sftp"}, {"client": "paramiko"}], quick=[{}], ids=["auto", "engine", "client"])
@parametrize("serves", ["shell", "sftp"], quick=["sftp"])
def test_a_target_that_sftp_serves(
    serves: str, keys: dict[str, str], start_sshd: StartSshd, make_project: MakeProject
) -> None:
    options = {"settings": {"ForceCommand": "internal-sftp"}} if serves == "sftp" else {}
    project = make_project(start_sshd(**options), options={"parallel_transfers": 3})
    ssh = project.read_config()["sync_targets"]["desktop"]["ssh"]
    client = {key: value for key, value in keys.items() if key == "client"}
    project.set_target(**{key: value for key, value in keys.items() if key == "engine"}, ssh={**ssh, **client})
    code, groups = run_doctor(project)
    rows = groups["desktop"]
    assert (code, list(rows)) == (0, list(NAMES))
    if not keys and serves == "shell":
        assert rows["engine"]["found"] == "rsync over ssh"
        return
    assert_by_sftp(rows, "" if keys else "The target runs no commands.")
    assert ("runs no commands" in rows["shell"]["found"]) is (serves == "sftp")
    assert get_states(rows)["clock"] == ("not_checked" if serves == "sftp" else "ok")
    assert "3 at once" in rows["sessions"]["found"]
    assert "free" in rows["wandb_space"]["found"]
    assert groups["here"]["ssh"]["state"] == ("not_checked" if keys else "ok")
    assert project.sshd.count_logins() == (1 if keys else 2)
    assert not project.target_root.exists()


@parametrize("client", ["openssh", "paramiko"], quick=["openssh"])
def test_doctor_and_sync_quote_the_same_words_of_a_server(
    client: str, start_sshd: StartSshd, make_project: MakeProject
) -> None:
    words = "WARNING: Your password has expired."
    project = make_project(start_sshd(settings={"ForceCommand": f"echo '{words}' >&2; exit 1"}))
    if client == "paramiko":
        ssh = project.read_config()["sync_targets"]["desktop"]["ssh"]
        project.set_target(ssh={**ssh, "client": client})
    code, groups = run_doctor(project)
    failed = {name: row for name, row in groups["desktop"].items() if row["state"] == "failed"}
    assert (code, set(failed)) == (1, {"shell" if client == "openssh" else "engine"})
    assert all(f'it answered "{words}"' in row["found"] for row in failed.values())
    assert "Subsystem" not in json.dumps(groups)
    notes = project.folder / "sweeps/outputs" / FLAT_SWEEP / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("in\n")
    done = project.hsm("sync", "to", FLAT_SWEEP)
    assert (done.returncode, f'it answered "{words}"' in done.stdout) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["here", "there"])
def test_without_rsync_sftp_will_carry_the_files(
    where: str, start_sshd: StartSshd, make_project: MakeProject, tmp_path: Path
) -> None:
    path = {"PATH": make_tools(tmp_path / "tools", without="rsync")}
    project = make_project(start_sshd(environment=path if where == "there" else {}))
    code, groups = run_doctor(project, env=path if where == "here" else {})
    assert code == 0
    assert_by_sftp(
        groups["desktop"], "There is no rsync at desktop." if where == "there" else "There is no rsync on this machine."
    )
    rows = groups["here"] if where == "here" else groups["desktop"]
    assert rows["rsync"]["state"] == "warning"
    assert "There is no rsync" in rows["rsync"]["found"]


@pytest.mark.slow
def test_the_rsync_of_a_mac_cannot_send(make_project: MakeProject, tmp_path: Path) -> None:
    path = make_tools(tmp_path / "tools", without="rsync")
    program = tmp_path / "tools" / "rsync"
    program.write_text("#!/bin/sh\necho 'openrsync: protocol version 29'\n")
    program.chmod(0o755)
    code, groups = run_doctor(make_project(), env={"PATH": path})
    assert code == 0
    assert_by_sftp(groups["desktop"], "The rsync on this machine is openrsync, which cannot send what HSM names.")


@pytest.mark.slow
def test_without_ssh_sftp_does_everything(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    code, groups = run_doctor(project, env={"PATH": make_tools(tmp_path / "tools", without="ssh")})
    assert code == 0
    assert_by_sftp(groups["desktop"], "There is no ssh on this machine.")
    assert groups["here"]["ssh"]["state"] == "warning"
    assert project.sshd.count_logins() == 1


@pytest.mark.slow
def test_an_sftp_target_with_an_unknown_key_or_without_sftp(start_sshd: StartSshd, make_project: MakeProject) -> None:
    project = make_project(start_sshd(settings={"Subsystem": "none /bin/false"}))
    project.set_target(engine="sftp")
    code, groups = run_doctor(project)
    assert code == 1
    assert [name for name, state in get_states(groups["desktop"]).items() if state == "failed"] == ["engine"]
    project.sshd.known_hosts.write_text("")
    code, groups = run_doctor(project)
    assert code == 10
    assert_ends_at(groups["desktop"], "host_key")


@pytest.mark.slow
def test_sessions_of_sftp_are_counted(start_sshd: StartSshd, make_project: MakeProject) -> None:
    project = make_project(start_sshd(settings={"MaxSessions": "2"}), options={"parallel_transfers": 4})
    project.set_target(engine="sftp")
    code, groups = run_doctor(project)
    assert code == 0
    assert groups["desktop"]["sessions"]["state"] == "warning"
    assert "at once over one login, 4 are wanted" in groups["desktop"]["sessions"]["found"]


@parametrize(
    ("line", "state", "words"),
    [
        pytest.param("rsync  version 3.2.7  protocol version 31", "warning", "older than 3.4.3", id="with known holes"),
        pytest.param("rsync  version 3.0.9  protocol version 30", "failed", "cannot be used", id="too old"),
        pytest.param("rsync for something else", "failed", "is no rsync that can be run", id="another program"),
        pytest.param("openrsync: protocol version 29", "ok", "it can receive", id="macOS's"),
    ],
    quick=["too old"],
)
def test_the_rsync_there_is_judged(
    line: str, state: str, words: str, make_project: MakeProject, tmp_path: Path
) -> None:
    program = tmp_path / "old rsync"
    program.write_text(f"#!/bin/sh\necho '{line}'\n")
    program.chmod(0o755)
    project = make_project()
    project.set_target(rsync_path=str(program), engine="rsync")
    code, groups = run_doctor(project)
    assert code == (1 if state == "failed" else 0)
    assert groups["desktop"]["rsync"]["state"] == state
    assert words in groups["desktop"]["rsync"]["found"]
    assert ("unless your distribution backported" in groups["desktop"]["rsync"]["hint"]) is (state == "warning")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("rsync", 1), ("ssh", 10)])
def test_what_this_machine_lacks(name: str, code: int, make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    project.set_target(engine="rsync")
    found, groups = run_doctor(project, env={"PATH": make_tools(tmp_path / "tools", without=name)})
    assert found == code
    assert groups["here"][name]["state"] == "failed"
    assert project.sshd.count_logins() == (1 if name == "rsync" else 0)
    if name == "ssh":
        assert_ends_at(groups["desktop"], "settings")


@parametrize("n_allowed", [1, 2], quick=[1])
def test_sessions_are_counted_without_a_further_login(
    n_allowed: int, start_sshd: StartSshd, make_project: MakeProject
) -> None:
    sshd = start_sshd(settings={"MaxSessions": str(n_allowed)})
    code, groups = run_doctor(make_project(sshd, options={"parallel_transfers": 4}))
    assert code == 0
    row = groups["desktop"]["sessions"]
    assert row["state"] == "warning"
    assert row["found"].startswith(f"{n_allowed} at once over one login, 4 are wanted")
    assert f"parallel_transfers: {n_allowed}" in row["hint"]
    assert sshd.count_logins() == count_connections_made(sshd) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_something_in_the_way_of_a_folder(kind: str, make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    project.target_root.mkdir(parents=True)
    if kind == "file":
        project.target_wandb.write_text("")
    else:
        project.target_wandb.symlink_to(tmp_path / "nowhere")
    code, groups = run_doctor(project)
    assert code == 1
    assert groups["desktop"]["wandb_folder"]["state"] == "failed"
    assert f"{project.target_wandb} is in the way" in groups["desktop"]["wandb_folder"]["found"]
    assert groups["desktop"]["sweeps_folder"]["state"] == "ok"


@pytest.mark.slow
def test_the_folder_in_which_sweeps_land_counts(make_project: MakeProject) -> None:
    project = make_project()
    project.target_sweeps.mkdir(parents=True)
    assert run_doctor(project)[1]["desktop"]["sweeps_folder"]["found"] == f"{project.target_sweeps} is there"
    (project.target_sweeps / "outputs").write_text("")
    assert (
        f"{project.target_sweeps}/outputs is in the way" in run_doctor(project)[1]["desktop"]["sweeps_folder"]["found"]
    )


@pytest.mark.slow
def test_folders_below_the_home_folder(make_project: MakeProject) -> None:
    project = make_project()
    project.set_target(paths={"sweeps": "~/my results/sweeps", "wandb": "~/my results/wandb"})
    (project.sshd.home / "my results" / "wandb").mkdir(parents=True)
    _, groups = run_doctor(project)
    assert groups["desktop"]["wandb_folder"]["found"] == "~/my results/wandb is there"
    assert groups["desktop"]["sweeps_folder"]["found"].endswith(f"can be made in {project.sshd.home}/my results")


@pytest.mark.slow
def test_a_jump_host(start_sshd: StartSshd, make_project: MakeProject) -> None:
    jump, sshd = start_sshd(alias="jump"), start_sshd()
    # ssh gives its `-F` to the ssh of a jump host
    config = jump.ssh_config.read_text() + sshd.ssh_config.read_text() + "    ProxyJump jump\n"
    sshd.ssh_config.write_text(config)
    project = make_project(sshd, style="alias")
    code, groups = run_doctor(project)
    assert code == 0
    states = get_states(groups["desktop"])
    assert [name for name, state in states.items() if state == "not_checked"] == ["name"]
    assert "through jump" in groups["desktop"]["connection"]["found"]
    assert (jump.count_logins(), sshd.count_logins()) == (1, 1)


@pytest.mark.slow
def test_several_targets_are_told_apart(make_project: MakeProject) -> None:
    project = make_project()
    config = project.read_config()
    alive = config["sync_targets"]["desktop"]
    config["sync_targets"]["dead"] = {**alive, "port": 1}
    project.write_config(config)
    code, groups = run_doctor(project)
    assert code == 1
    assert set(groups) == {"here", "desktop", "dead"}
    assert groups["dead"]["connection"]["state"] == "failed"
    assert groups["desktop"]["sessions"]["state"] == "ok"
    code, groups = run_doctor(project, "dead")
    assert (code, set(groups)) == (10, {"here", "dead"})
    assert run_doctor(project, "desktop")[0] == 0


def test_the_table_names_every_row_and_the_next_step(make_project: MakeProject) -> None:
    project = make_project()
    project.set_target(port=1)
    plain, loud = project.hsm("sync", "doctor"), project.hsm("sync", "doctor", "-v")
    assert plain.returncode == loud.returncode == 10
    for name in NAMES:
        assert f"\n  {name.replace('_', ' ')} " in plain.stdout
    assert "Next: connection: Is an SSH server running there" in plain.stdout
    assert plain.stdout.endswith("1 target checked, 1 not ready\n")
    raw = "ssh: connect to host 127.0.0.1 port 1: Connection refused"
    assert raw in loud.stdout
    assert raw not in plain.stdout
    assert "debug1" not in loud.stdout


@parametrize("hanging", ["login", "session"], quick=["login"])
def test_an_interrupt_ends_it_soon(hanging: str, start_sshd: StartSshd, make_project: MakeProject) -> None:
    sshd = start_sshd(shell="bash")
    (sshd.home / ".bashrc").write_text("sleep 60\n")
    project = make_project(sshd)
    argv = [sys.executable, "-m", "hsm", "sync", "doctor"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if hanging == "login":
            project.set_target(port=silent.getsockname()[1])
        process = subprocess.Popen(argv, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process as hsm:
            try:
                wait_until(lambda: sshd.count_sessions() or is_called(silent))
                hsm.send_signal(signal.SIGINT)
                stdout, stderr = hsm.communicate(timeout=30)
            finally:
                hsm.kill()
    assert (hsm.returncode, stdout) == (130, "")
    assert "Interrupted" in stderr


def wait_until(is_true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_called(server: socket.socket) -> bool:
    """Whether a client waits for the server to speak."""
    return bool(select.select([server], [], [], 0)[0])


def test_an_unknown_target_is_a_usage_error(make_project: MakeProject) -> None:
    project = make_project()
    completed = project.hsm("sync", "doctor", "nowhere")
    assert completed.returncode == 2
    assert "nowhere" in completed.stderr
    assert list(project.sshd.home.iterdir()) == []


@parametrize(
    ("program", "state", "found"),
    [
        pytest.param("wandb", "ok", "wandb, version 0.99", id="there"),
        pytest.param("broken", "failed", "there is no program", id="broken"),
        pytest.param("missing", "failed", "there is no program", id="missing"),
        pytest.param("", "failed", "no command may run there", id="no commands"),
    ],
    quick=["there"],
)
def test_a_target_that_uploads_needs_wandb(
    program: str, state: str, found: str, start_sshd: StartSshd, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(start_sshd(**({} if program else {"settings": {"ForceCommand": "internal-sftp"}})))
    for name, text in (("wandb", "echo wandb, version 0.99"), ("broken", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    project.set_target(after_sync=[{"wandb_sync": True, "wandb_path": str(tmp_path / (program or "wandb"))}])
    code, groups = run_doctor(project)
    row = groups["desktop"]["wandb"]
    assert list(groups["desktop"]) == [*NAMES, "wandb"]
    assert (code, row["state"]) == (0 if state == "ok" else 1, state)
    assert row["found"].startswith(found)
    assert bool(row["hint"]) is (state == "failed")
