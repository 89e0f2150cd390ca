"""Download of one file of several servers, and the data server that they are."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from hsm.errors import TargetError, UsageError
from hsm.hosts.files.aria2 import make_aria2_input
from hsm.hosts.files.fetch import fetch
from hsm.hosts.files.sources import FileSource, check_sha256, check_source_url, make_name
from hsm.hosts.inventory.identity import is_loopback
from hsm.hosts.server.server import make_server_app
from tests.unit.hosts.conftest import BAD, Server, find_free_port
from tests.unit.hosts.files.test_shared_files import make_database

CONTENT = os.urandom(9_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WAYS = [pytest.param(True, id="aria2c", marks=pytest.mark.skipif(not shutil.which("aria2c"), reason="no aria2c")),
        pytest.param(False, id="stream")]  # fmt: skip


class Running:
    """A data server in a thread."""

    def __init__(self, root: Path, **options: object) -> None:
        config = uvicorn.Config(
            make_server_app(root, **options),  # type: ignore[arg-type]
            port=find_free_port(),
            log_level="error",
        )
        self.server = uvicorn.Server(config)
        self.url = f"http://127.0.0.1:{config.port}"
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(10)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def run(root: Path, **options: object) -> Running:
        started.append(Running(root, **options))
        return started[-1]

    yield run
    for running in started:
        running.stop()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "big.bin").write_bytes(CONTENT)
    (folder / "empty").touch()
    return folder


@pytest.mark.parametrize("aria2", WAYS)
def test_a_file_comes_from_several_servers(
    start: Callable[..., Running], serve: Callable[..., Server], root: Path, tmp_path: Path, aria2: bool
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "big.bin").write_bytes(CONTENT[:-1] + b"x")
    urls = [f"{start(folder).url}/files/big.bin" for folder in (root, root, other)]
    urls += [f"http://127.0.0.1:{serve(BAD[name]).port}/big.bin" for name in ("be_rubbish", "be_forbidden", "be_html")]
    found = fetch(urls, tmp_path / "here.bin", may_use_aria2=aria2, answer_seconds=5)
    assert (tmp_path / "here.bin").read_bytes() == CONTENT
    assert (found.sha256, found.is_verified, found.by) == (SHA256, True, "aria2c" if aria2 else "http")
    assert found.sources == (tuple(urls[:2]) if aria2 else (urls[0],))
    assert list(found.left_out) == [*urls[3:5], urls[2], urls[5]]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".hsm")] == []


@pytest.mark.parametrize("aria2", WAYS)
def test_a_token_is_brought(start: Callable[..., Running], root: Path, tmp_path: Path, aria2: bool,
                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    url = f"{start(root, token='abc').url}/files/big.bin"
    with pytest.raises(TargetError, match="401"):
        fetch([url], tmp_path / "x", may_use_aria2=aria2)
    monkeypatch.setenv("HSM_HOSTS_TOKEN", "abc")
    assert fetch([url], tmp_path / "x", may_use_aria2=aria2).sha256 == SHA256


@pytest.mark.parametrize("aria2", WAYS)
def test_an_empty_file_comes(start: Callable[..., Running], root: Path, tmp_path: Path, aria2: bool) -> None:
    fetch([f"{start(root).url}/files/empty"], tmp_path / "x", may_use_aria2=aria2)
    assert (tmp_path / "x").read_bytes() == b""


@pytest.mark.parametrize("aria2", WAYS)
def test_a_wrong_file_leaves_the_former_one(
    start: Callable[..., Running], root: Path, tmp_path: Path, aria2: bool
) -> None:
    url = f"{start(root).url}/files/big.bin"
    place = tmp_path / "here" / "x"
    place.parent.mkdir()
    place.write_text("former")
    with pytest.raises(UsageError, match="exists already"):
        fetch([url], place, may_use_aria2=aria2)
    with pytest.raises(TargetError, match="none has the checksum"):
        fetch([url], place, may_use_aria2=aria2, overwrite=True, sha256="0" * 64)
    assert (place.read_text(), list(place.parent.iterdir())) == ("former", [place])
    fetch([url], place, may_use_aria2=aria2, overwrite=True, sha256=SHA256)
    assert place.read_bytes() == CONTENT
    assert fetch([url], place).by == "nothing"


LIARS = {
    "checksum": (b"Repr-Digest: sha-256=:" + b"A" * 43 + b"=:\r\n", b"something", "checksum"),
    "more": (b"", b"something else that is longer", "fetch_failed"),
    "less": (b"", b"some", "fetch_failed"),
}


@pytest.mark.parametrize(("head", "body", "kind"), LIARS.values(), ids=LIARS.keys())
def test_what_is_not_as_announced_is_not_taken(
    serve: Callable[..., Server], tmp_path: Path, head: bytes, body: bytes, kind: str
) -> None:
    def lie(connection: socket.socket) -> None:
        is_head = connection.recv(65536).startswith(b"HEAD")
        n_bytes = len(b"something") if is_head else len(body)
        start = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n" % n_bytes
        connection.sendall(start + head + b"\r\n" + (b"" if is_head else body))

    url = f"http://127.0.0.1:{serve(lie).port}/x"
    with pytest.raises(TargetError) as caught:
        fetch([url], tmp_path / "x", may_use_aria2=False, timeout_seconds=20)
    assert caught.value.kind == kind
    assert list(tmp_path.glob("*x*")) == list(tmp_path.glob(".hsm*")) == []


class Flaky:
    """A server of the content that breaks off after some bytes, each time; notes what it was asked for."""

    def __init__(self, n_bytes: int, *, headers: bytes = b"") -> None:
        self._n_bytes = n_bytes
        self._headers = headers
        self.ranges: list[str] = []

    def __call__(self, connection: socket.socket) -> None:
        request = connection.recv(65536)
        begin = 0
        status = b"200 OK"
        if request.startswith(b"GET"):
            asked = dict(line.split(": ", 1) for line in request.decode().lower().splitlines() if ": " in line)
            self.ranges.append(asked.get("range", ""))
            begin = int(asked["range"].removeprefix("bytes=").rstrip("-")) if "range" in asked else 0
            part = b"Content-Range: bytes %d-%d/%d\r\n" % (begin, len(CONTENT) - 1, len(CONTENT))
            status = b"206 Partial Content\r\n" + part.rstrip() if begin else status
        head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n" % (status, len(CONTENT) - begin)
        connection.sendall(head + self._headers + b"Connection: close\r\n\r\n")
        if request.startswith(b"GET"):
            connection.sendall(CONTENT[begin : begin + self._n_bytes])


RANGES = b"Accept-Ranges: bytes\r\n"
CHECKSUM = b"Repr-Digest: sha-256=:" + base64.b64encode(bytes.fromhex(SHA256)) + b":\r\n"
PART = len(CONTENT) * 2 // 3
REST = f"bytes={PART}-"
BROKEN = {
    "nothing came, so the next begins": (RANGES + CHECKSUM, 0, "", (1,)),
    "the next goes on": (RANGES + CHECKSUM, PART, REST, (0, 1)),
    "without a checksum the next begins anew": (RANGES + b'ETag: "1"\r\n', PART, "", (1,)),
    "without ranges the next begins anew": (CHECKSUM, PART, "", (1,)),
}


@pytest.mark.parametrize(("headers", "n_bytes", "asked", "used"), BROKEN.values(), ids=BROKEN)
def test_where_one_server_breaks_off_the_next_is_asked(
    serve: Callable[..., Server], tmp_path: Path, headers: bytes, n_bytes: int, asked: str, used: tuple[int, ...]
) -> None:
    servers = [Flaky(n_bytes, headers=headers), Flaky(len(CONTENT), headers=headers)]
    urls = [f"http://127.0.0.1:{serve(server).port}/big.bin" for server in servers]
    found = fetch(urls, tmp_path / "x", may_use_aria2=False)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert [server.ranges for server in servers] == [[""], [asked]]
    assert found.sources == tuple(urls[index] for index in used)


def test_one_version_at_one_server_is_gone_on_with(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = Flaky(PART, headers=RANGES + b'ETag: "1"\r\n')
    fetch([f"http://127.0.0.1:{serve(server).port}/big.bin"], tmp_path / "x", may_use_aria2=False)
    assert ((tmp_path / "x").read_bytes() == CONTENT, server.ranges) == (True, ["", REST])


def test_a_server_that_always_breaks_off_is_asked_three_times(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = Flaky(PART, headers=RANGES + b'ETag: W/"1"\r\n')
    with pytest.raises(TargetError, match="could not be fetched") as caught:
        fetch([f"http://127.0.0.1:{serve(server).port}/big.bin"], tmp_path / "x", may_use_aria2=False)
    assert (caught.value.kind, server.ranges) == ("fetch_failed", ["", "", ""])
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


@pytest.mark.parametrize("aria2", WAYS)
def test_a_database_comes_as_one_version(start: Callable[..., Running], tmp_path: Path, aria2: bool) -> None:
    writer = make_database(tmp_path / "a.db", wal=True)
    url = f"{start(tmp_path, database=tmp_path / 'a.db').url}/db"
    found = fetch([url], tmp_path / "copy.db", may_use_aria2=aria2)
    assert found.sources == (f"{url}/{found.sha256}",)
    writer.execute("DELETE FROM ratings")
    writer.commit()
    again = fetch([url], tmp_path / "copy.db", may_use_aria2=aria2, overwrite=True)
    assert again.sha256 != found.sha256
    writer.close()


def ask(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    response = httpx.get(url, headers={key.replace("_", "-"): value for key, value in headers.items()})
    return response.status_code, dict(response.headers), response.content


def test_conditions_and_ranges(start: Callable[..., Running], root: Path) -> None:
    url = f"{start(root).url}/files/big.bin"
    status, headers, content = ask(url)
    etag = headers["etag"]
    assert (status, content == CONTENT, headers["content-length"]) == (200, True, str(len(CONTENT)))
    status, headers, content = ask(url, Range="bytes=5-9")
    assert (status, content, headers["content-range"]) == (206, CONTENT[5:10], f"bytes 5-9/{len(CONTENT)}")
    assert ask(url, Range=f"bytes={len(CONTENT)}-")[0] == 416
    assert ask(url, If_None_Match=etag)[0] == 304
    assert ask(url, If_None_Match=f'W/{etag}, "x"')[0] == 304
    assert ask(url, If_Match='"x"')[0] == 412
    assert ask(url, If_Match=etag, Range="bytes=0-0")[0] == 206
    assert ask(url, If_Range='"x"', Range="bytes=0-0")[0] == 200
    assert ask(url, If_Range=etag, Range="bytes=0-0")[0] == 206


def test_status_token_and_hosts(start: Callable[..., Running], root: Path) -> None:
    (root / "sweeps" / "outputs" / "sweep_1").mkdir(parents=True)
    (root / "wandb" / "run-1").mkdir(parents=True)
    url = start(root, name="box").url
    status, _, content = ask(f"{url}/status")
    data = json.loads(content)
    assert (status, data["name"], data["sweeps"], data["runs"], data["has_db"]) == (200, "box", 1, 1, False)
    assert {"version", "load", "free_bytes"} <= data.keys()
    assert ask(f"{url}/db")[0] == 404
    assert ask(f"{url}/files/../../etc/passwd")[0] == 404
    assert ask(f"{url}/files/%2e%2e/%2e%2e/etc/passwd")[0] == 404
    assert ask(f"{url}/status", Host="evil.example.org")[0] == 421
    guarded = start(root, token="abc").url
    codes = [ask(f"{guarded}/status", Authorization=words)[0] for words in ("", "abc", "Bearer abd", "Bearer abc")]
    assert codes == [401, 401, 401, 200]
    assert ask(f"{guarded}/files/big.bin")[0] == 401


def test_only_loopback_is_loopback() -> None:
    assert [is_loopback(bind) for bind in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(bind) for bind in ("0.0.0.0", "::", "10.0.0.1", "box", "")] == [False] * 5


def test_the_token_is_in_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSM_HOSTS_TOKEN", "abc")
    text = make_aria2_input([FileSource("http://a/x", 1), FileSource("http://b/x", 1)], Path("/d/.hsm-fetch-1"))
    assert text.splitlines()[0] == "http://a/x\thttp://b/x"
    assert "  header=Authorization: Bearer abc" in text.splitlines()


@pytest.mark.parametrize("url", ["", "x", "ftp://a/b", "http://", "http://u:p@a/b", "http://a/b c", "http://a/\nb",
                                 "http://[a/b", "http://a:99999/b"])  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError):
        check_source_url(url)


@pytest.mark.parametrize("url", ["http://a", "http://a/", "http://a/..", "http://a/.x", "http://a/%2e%2e%2fx",
                                 "http://a/x%00"])  # fmt: skip
def test_what_is_no_name(url: str) -> None:
    with pytest.raises(UsageError):
        make_name(url)


def test_names_and_checksums() -> None:
    assert (make_name("http://a/b/c%20d?x=1"), check_sha256("A" * 64), check_sha256("")) == ("c d", "a" * 64, "")
    with pytest.raises(UsageError):
        check_sha256("abc")
