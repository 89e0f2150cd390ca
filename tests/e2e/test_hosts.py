"""`hsm hosts` with real ssh servers and real data servers on loopback addresses, and with servers that misbehave."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from private_sshd import PrivateSshd

from hsm.hosts import discover_reachable_nodes
from tests.conftest import FLAT_SWEEP, RunHsm
from tests.marks import parametrize
from tests.unit.hosts.conftest import Server, be_endless, be_rubbish, be_silent, find_free_port

LOOPBACK = sys.platform == "linux"  # elsewhere 127.0.0.2 and further have to be set up first


@dataclass(frozen=True)
class DataServer:
    """A running `hsm hosts serve`."""

    process: subprocess.Popen[str]
    url: str


@pytest.fixture
def start_data_server(tmp_path: Path) -> Iterator[Callable[..., DataServer]]:
    """Return a function that starts `hsm hosts serve` and returns when it listens; all are ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str | Path, cwd: Path = tmp_path, env: dict[str, str] | None = None) -> DataServer:
        argv = [sys.executable, "-m", "hsm", "hosts", "serve", *map(str, args)]
        process = subprocess.Popen(argv, cwd=cwd, env={**os.environ, **(env or {})}, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("Serving "), line
        return DataServer(process, line.split(" at ")[1].split(",")[0])

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def cluster(
    tmp_path: Path, start_sshd: Callable[..., PrivateSshd], start_data_server: Callable[..., DataServer]
) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Ten machines: six good ones, one that refuses, one that never answers, one with rubbish, one without an end."""
    if not LOOPBACK:
        pytest.skip("needs the addresses 127.0.0.2 to 127.0.0.10")
    port = find_free_port()
    hosts: dict[str, Any] = {}
    for number in range(1, 7):
        sshd = start_sshd(settings={"ListenAddress": f"127.0.0.{number}"})
        hosts[f"good-{number}"] = make_host(sshd, f"127.0.0.{number}", port)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: start_data_server("--port", str(port), "--bind", f"127.0.0.{n}"), range(1, 7)))
    bad = {}
    for number, behave in ((8, be_silent), (9, be_rubbish), (10, be_endless)):
        servers = [Server(behave, f"127.0.0.{number}", port), Server(behave, f"127.0.0.{number}", 0)]
        bad[number] = servers
        hosts[behave.__name__] = {
            "ssh_host": f"127.0.0.{number}", "ssh_port": servers[1].port, "data_server_port": port, "status": "active",
        }  # fmt: skip
    refusing = {"ssh_host": "127.0.0.7", "ssh_port": find_free_port(), "data_server_port": port, "status": "active"}
    hosts["be_refusing"] = refusing
    folder = write_hosts(tmp_path / "project", hosts)
    yield folder, port, hosts
    for server in (server for servers in bad.values() for server in servers):
        server.stop()


def make_host(sshd: PrivateSshd, address: str, port: int = 8766) -> dict[str, Any]:
    """A machine of the hosts file behind a private sshd that listens at an address."""
    key = " ".join((sshd.folder / "host_key.pub").read_text().split()[:2])
    sshd.known_hosts.write_text(f"[{address}]:{sshd.port} {key}\n")
    return {
        "ssh_host": f"{sshd.user}@{address}",
        "ssh_port": sshd.port,
        "ssh_key": str(sshd.identity_file),
        "ssh_options": {"UserKnownHostsFile": str(sshd.known_hosts)},
        "data_server_port": port,
        "role": "worker",
        "status": "active",
    }


def write_hosts(folder: Path, hosts: dict[str, Any]) -> Path:
    """Write a project's hosts file; the project's folder."""
    path = folder / ".hsm" / "hosts.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"hosts": hosts}, sort_keys=False))
    return folder


BAD_ANSWERS = {
    "be_silent": ("ok", "no answer", "no answer"),
    "be_rubbish": ("ok", "no answer", "it does not speak HTTP"),
    "be_endless": ("ok", "no answer", "it is larger than 1024 KiB"),
    "be_refusing": ("refused", "no answer", "no answer"),
}


@pytest.mark.slow
def test_ten_machines_are_told_apart(
    cluster: tuple[Path, int, dict[str, Any]], hsm: RunHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port, hosts = cluster
    good = [name for name in hosts if name.startswith("good")]
    monkeypatch.chdir(folder)
    found = discover_reachable_nodes(port, timeout=4)
    assert [node.name for node, _ in found] == good
    assert {status["name"] for _, status in found} == {socket.gethostname()}

    done = hsm("hosts", "check", "--json", "--timeout", "15", cwd=folder)
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"]) == (1, 1)
    answers = {host["name"]: (host["tcp"], host["ssh"], host["http"]) for host in document["hosts"]}
    assert answers == {**dict.fromkeys(good, ("ok", "ok", "ok")), **BAD_ANSWERS}
    assert all(host["vitals"]["load"] is not None for host in document["hosts"] if host["name"] in good)

    done = hsm("hosts", "urls", "data", "--include-self", cwd=folder)
    assert done.stdout.split() == [f"http://127.0.0.{number}:{port}" for number in range(1, 7)]
    done = hsm("hosts", "urls", "data", cwd=folder)
    assert (done.returncode, done.stdout.split()) == (1, [])

    done = hsm("hosts", "run", "--role", "worker", "--", "echo", "hi  there", cwd=folder)
    lines = done.stdout.splitlines()
    assert sorted(lines[: len(good)]) == [f"{name} | hi  there" for name in good]
    assert (done.returncode, lines[-1].split(",")[0]) == (0, "6 machines: 6 ended with 0")


@pytest.fixture
def pair(tmp_path: Path, sshd: PrivateSshd) -> Path:
    """A project with a machine that has a dead address before the good one, one that is away, and one that is off."""
    hosts = {
        "good": {**make_host(sshd, "127.0.0.1"), "tailscale_ip": "127.0.0.1", "gpu": "NVIDIA H100"},
        "away": {"ssh_host": "127.0.0.1", "ssh_port": find_free_port(), "status": "active"},
        "off": {"ssh_host": "127.0.0.1", "status": "offline", "shelf": 7},
    }
    if LOOPBACK:
        hosts["good"]["tailscale_ip"] = "127.0.0.99"
    return write_hosts(tmp_path / "project", hosts)


def test_the_inventory_is_listed(pair: Path, hsm: RunHsm) -> None:
    done = hsm("hosts", "list", "--active", "--gpu", "h100", cwd=pair)
    assert [line.split()[0] for line in done.stdout.splitlines() if line] == ["Hosts", "machine", "good", "1"]
    assert "hosts.off.shelf (line" in done.stderr
    document = json.loads(hsm("hosts", "list", "--json", cwd=pair).stdout)
    assert [(host["name"], host["is_active"]) for host in document["hosts"]] == [
        ("good", True), ("away", True), ("off", False)]  # fmt: skip
    assert document["hosts"][2]["extra"] == {"shelf": 7}


def test_what_runs_where_and_how_it_ends(pair: Path, hsm: RunHsm) -> None:
    done = hsm("hosts", "run", "--", "echo out; echo err >&2; printf end; exit 3", cwd=pair)
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[:3]) == (1, ["good | out", "good | err", "good | end"])
    table = {line.split()[0]: line.split()[1:] for line in lines[4:] if line}
    assert table["good"] == ["3", "ended"]
    assert "refuses" in table["away"] or "refused" in " ".join(table["away"])
    done = hsm("hosts", "run", "-H", "away", "--json", "--", "true", cwd=pair)
    (host,) = json.loads(done.stdout)["hosts"]
    assert (done.returncode, host["error"], host["exit_code"]) == (10, "connection_refused", None)
    done = hsm("hosts", "run", "-H", "good", "--timeout", "3", "--json", "--", "echo begun; sleep 60", cwd=pair)
    (host,) = json.loads(done.stdout)["hosts"]
    assert (host["error"], host["output"]) == ("timeout", ["begun"])
    done = hsm("hosts", "run", "-H", "good", "--json", "--", "if then", cwd=pair)
    (host,) = json.loads(done.stdout)["hosts"]
    assert (host["error"], host["exit_code"]) == ("", 2)


def test_output_cannot_command_the_terminal(pair: Path, hsm: RunHsm) -> None:
    done = hsm("hosts", "run", "-H", "good", "--", r"printf '\033]0;x\007\n'", cwd=pair)
    assert done.stdout.splitlines()[0] == r"good | \x1b]0;x\x07"


def test_a_check_of_some_and_its_exit_code(pair: Path, hsm: RunHsm) -> None:
    done = hsm("hosts", "check", "good", "--no-http", cwd=pair)
    assert (done.returncode, done.stdout.splitlines()[1].split()[:4]) == (0, ["good", "ok", "ok", "not"])
    assert hsm("hosts", "check", "off", "--timeout", "2", cwd=pair).returncode == 0
    assert hsm("hosts", "check", "away", "--timeout", "2", cwd=pair).returncode == 1
    done = hsm("hosts", "check", "goood", cwd=pair)
    assert (done.returncode, "did you mean good?" in done.stderr) == (2, True)


def test_a_file_that_others_can_write_does_not_decide_about_ssh(pair: Path, hsm: RunHsm) -> None:
    (pair / ".hsm" / "hosts.yaml").chmod(0o666)
    done = hsm("hosts", "check", "good", "--no-http", "--timeout", "20", cwd=pair)
    assert (done.returncode, "everybody may write" in done.stderr) == (1, True)


@pytest.mark.slow
def test_import_makes_a_file_that_works(hsm: RunHsm, sshd: PrivateSshd, tmp_path: Path) -> None:
    project = tmp_path / "fresh"
    project.mkdir()
    args = ("hosts", "import", "--ssh-config", sshd.ssh_config)
    assert yaml.safe_load(hsm(*args, cwd=project).stdout)["hosts"]["desktop"]["ssh_port"] == sshd.port
    assert hsm(*args, "--write", cwd=project).returncode == 0
    assert "desktop" in hsm("hosts", "list", cwd=project).stdout
    done = hsm(*args, "--write", cwd=project)
    assert (done.returncode, "exists already" in done.stderr) == (2, True)


@parametrize("extra", [(), ("--no-aria2",)], quick=[()], ids=["any", "stream"])
def test_a_file_travels(
    hsm: RunHsm, start_data_server: Callable[..., DataServer], tmp_path: Path, extra: tuple[str, ...]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "model.pt").write_bytes(os.urandom(3_000_000))
    urls = [f"{start_data_server('--port', '0', '--root', root).url}/files/model.pt" for _ in range(2)]
    done = hsm("hosts", "fetch", *urls, "--out", tmp_path, *extra, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.pt").read_bytes() == (root / "model.pt").read_bytes()
    done = hsm("hosts", "fetch", urls[0] + "x", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (1, "no_source")


@pytest.fixture
def scores(tmp_path: Path, sshd: PrivateSshd, start_data_server: Callable[..., DataServer]) -> Path:
    """A node's project; the coordinator has `ratings.db` in the home folder of a private sshd."""
    if not LOOPBACK:
        pytest.skip("needs the address 127.0.0.99")
    authority = write_scores(sshd.home / "ratings.db", {"a": 1000.0, "b": 1100.0}, wal=True)
    port = find_free_port()
    start_data_server("--port", str(port), "--db", authority)
    here = write_scores(tmp_path / "here.db", {"a": 1000.0})
    start_data_server("--port", str(port), "--bind", "127.0.0.2", "--db", here)
    hosts = {
        "boss": {**make_host(sshd, "127.0.0.1", port), "tailscale_ip": "127.0.0.99", "path": str(sshd.home)},
        "node": {"ssh_host": "127.0.0.2", "data_server_port": port, "status": "active"},
        "silent": {"ssh_host": "127.0.0.3", "data_server_port": port, "status": "active"},
    }
    folder = write_hosts(tmp_path / "project", hosts)
    with (folder / ".hsm" / "hosts.yaml").open("a") as file:
        file.write(f"elo_sync: {{coordinator: boss, sync_port: {port}}}\n")
    return folder


def write_scores(path: Path, rows: dict[str, float], *, wal: bool = False) -> Path:
    """Write a score file."""
    with closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS ratings (name TEXT PRIMARY KEY, rating REAL)")
        connection.executemany("INSERT OR REPLACE INTO ratings VALUES (?, ?)", rows.items())
        connection.commit()
    return path


def read_scores(path: Path) -> dict[str, float]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, rating FROM ratings"))


def test_scores_are_pulled_and_pushed(scores: Path, hsm: RunHsm, sshd: PrivateSshd) -> None:
    args = ("--db", "ratings.db")
    done = hsm("hosts", "scores", "pull", *args, cwd=scores)
    assert (done.returncode, read_scores(scores / "ratings.db")) == (0, {"a": 1000, "b": 1100}), done.stderr
    assert "127.0.0.99" in done.stderr  # the preferred way, which is dead
    write_scores(scores / "ratings.db", {"b": 1.0, "new": 5.0})
    done = hsm("hosts", "scores", "pull", *args, cwd=scores)
    assert (done.returncode, "1 row that the coordinator has not (ratings: 1)" in done.stderr) == (12, True)
    program = sshd.home / "bin" / "hsm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hsm "$@"\n')
    program.chmod(0o755)
    done = hsm("hosts", "scores", "push", *args, "--remote-hsm", "no-hsm", cwd=scores)
    assert (done.returncode, "There is no no-hsm at boss" in done.stderr) == (1, True), done.stderr
    done = hsm("hosts", "scores", "push", *args, "--remote-hsm", "~/bin/hsm", cwd=scores)
    assert (done.returncode, "1 merged there" in done.stdout) == (0, True), done.stderr
    assert read_scores(sshd.home / "ratings.db") == {"a": 1000, "b": 1100, "new": 5}
    assert read_scores(sshd.home / "ratings.db.hsm-backup") == {"a": 1000, "b": 1100}
    done = hsm("hosts", "scores", "pull", *args, "--json", cwd=scores)
    document = json.loads(done.stdout)
    assert (document["way"]["transport"], document["before"]["n_differing"]) in (("aria2", 1), ("http", 1))
    assert read_scores(scores / "ratings.db") == {"a": 1000, "b": 1100, "new": 5}
    assert "has every row" in hsm("hosts", "scores", "push", *args, cwd=scores).stdout


@pytest.mark.slow
def test_a_node_that_has_drifted_is_flagged(scores: Path, hsm: RunHsm, tmp_path: Path) -> None:
    done = hsm("hosts", "scores", "status", "--json", cwd=scores)
    hosts = {host["name"]: host for host in json.loads(done.stdout)["hosts"]}
    assert done.returncode == 0
    assert (hosts["node"]["comparison"]["n_missing"], hosts["node"]["has_diverged"]) == (1, False)
    assert (hosts["boss"]["is_coordinator"], hosts["boss"]["comparison"]["divergence"]) == (True, 0)
    assert hosts["silent"]["problem"] == "no answer"
    write_scores(tmp_path / "here.db", {"a": 1051.0})
    done = hsm("hosts", "scores", "status", cwd=scores)
    assert (done.returncode, "DIVERGED" in done.stdout) == (1, True)


@pytest.mark.slow
def test_a_pull_that_is_killed_leaves_one_of_both(scores: Path, hsm: RunHsm, sshd: PrivateSshd) -> None:
    rows = {f"player-{number}": 2.0 for number in range(30_000)}
    write_scores(sshd.home / "ratings.db", {"a": 2.0, "b": 2.0, **rows})
    file = write_scores(scores / "ratings.db", dict.fromkeys(["a", "b", *rows], 1.0), wal=True)
    argv = [sys.executable, "-m", "hsm", "hosts", "scores", "pull", "--db", str(file)]
    for tenths in range(3, 20, 2):
        with subprocess.Popen(argv, cwd=scores, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(tenths / 10)
            process.kill()
        found = read_scores(file)
        assert (len(found), len(set(found.values()))) == (len(rows) + 2, 1)
    assert hsm("hosts", "scores", "pull", "--db", file, cwd=scores).returncode == 0
    assert set(read_scores(file).values()) == {2.0}


def test_a_sync_goes_through_the_address_that_answers(
    hsm: RunHsm, sshd: PrivateSshd, copy_project: Callable[[Path], Path], tmp_path: Path
) -> None:
    if not LOOPBACK:
        pytest.skip("needs the address 127.0.0.99")
    folder = copy_project(tmp_path / "project")
    target = tmp_path / "target"
    node = {**make_host(sshd, "127.0.0.1"), "tailscale_ip": "127.0.0.99", "path": str(target)}
    write_hosts(folder, {"gpu-1": node})
    config = {"desktop": {"node": "gpu-1", "paths": {"sweeps": "sweeps", "wandb": "wandb"}}}
    (folder / ".hsm" / "sync_config.yaml").write_text(yaml.safe_dump({"sync_targets": config}))
    done = hsm("sync", "to", FLAT_SWEEP, "-t", "desktop", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (target / "sweeps" / "outputs" / FLAT_SWEEP).is_dir()
    assert len(list((target / "wandb").iterdir())) > 10
    n_logins = sshd.count_logins()
    write_hosts(folder, {"gpu-1": {**node, "tailscale_ip": "127.0.0.98"}})  # the journal is the machine's all the same
    done = hsm("sync", "to", FLAT_SWEEP, "-t", "desktop", "--json", cwd=folder)
    (report,) = json.loads(done.stdout)["sweeps"][0]["targets"]
    assert (done.returncode, report["state"], n_logins, sshd.count_logins()) == (0, "nothing_to_do", 1, 1)
    done = hsm("sync", "status", FLAT_SWEEP, "--json", cwd=folder)
    (known,) = json.loads(done.stdout)["sweeps"][0]["targets"]
    assert (known["sweep_folder"], known["runs"]["complete"], known["runs"]["pending"]) == ("complete", 15, 0)
    done = hsm("sync", "to", FLAT_SWEEP, "-t", "desktop", "--set", "host=127.0.0.55", cwd=folder)
    assert (done.returncode, "no address of the machine gpu-1" in done.stderr) == (2, True)


SERVE_ERRORS = {
    "beyond loopback": (["--bind", "0.0.0.0"], "Beyond loopback a token is needed"),
    "no folder": (["--root", "absent"], "There is no folder absent"),
    "no database": (["--db", "absent"], "There is no file absent"),
    "no token": (["--token-file", "absent"], "absent cannot be read"),
}


@parametrize(("args", "words"), SERVE_ERRORS.values(), quick=[SERVE_ERRORS["beyond loopback"]], ids=SERVE_ERRORS.keys())
def test_serve_refuses(hsm: RunHsm, tmp_path: Path, args: list[str], words: str) -> None:
    done = hsm("hosts", "serve", "--port", "0", *args, cwd=tmp_path)
    assert (done.returncode, words in done.stderr) == (2, True)


def test_a_port_that_is_taken_is_told(hsm: RunHsm, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = hsm("hosts", "serve", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert (done.returncode, "Nothing can listen at 127.0.0.1" in done.stderr) == (1, True)
