"""Read-only data server for plain HTTP: `/status`, `/files/...` with ranges, `/db` as a snapshot."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
import shutil
import socket
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hsm._version import __version__
from hsm.hosts.files.shared_files import CHUNK_BYTES, Digests, RangeError, SharedFile, open_shared, parse_range
from hsm.hosts.scores.pull import read_last_sync
from hsm.hosts.scores.snapshot import Snapshots
from hsm.hosts.server.connections import Connections, CountedRequests, allow_open_files, make_protocol
from hsm.sweep_folder import OUTPUTS

_METHODS = ["GET", "HEAD"]


def make_server_app(root: Path, *, database: Path | None = None, token: str = "", name: str = "") -> Starlette:
    """Make the application.

    Args:
        root: The folder below which files are served.
        database: The SQLite file behind `/db`; without it there is none.
        token: Every request must carry it as bearer token; empty for none.
        name: The name in `/status`; default: this machine's host name.
    """
    share = _Share(root, database, name or socket.gethostname())

    @asynccontextmanager
    async def live(_app: Starlette) -> AsyncIterator[None]:
        yield
        share.close()

    routes = [
        Route("/status", share.get_status, methods=_METHODS),
        Route("/files/{path:path}", share.get_file, methods=_METHODS),
        Route("/db", share.get_database, methods=_METHODS),
        Route("/db/{digest}", share.get_database, methods=_METHODS),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_Guard, token=token)], lifespan=live)


class _Guard:
    """Guard that asks every request for the token; without a token it refuses web pages under names of their own."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refuse(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        if self._token:
            given = request.headers.get("authorization", "").encode("utf-8", "replace")
            if hmac.compare_digest(given, b"Bearer " + self._token):  # takes as long for a nearly right token
                return None
            return PlainTextResponse("A bearer token is needed.\n", 401, {"WWW-Authenticate": "Bearer"})
        # A page whose name has been pointed at 127.0.0.1 (DNS rebinding) sends its own name as `Host`.
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            if host.lower() != "localhost":
                return PlainTextResponse("Unknown host.\n", 421)
        return None


class _Share:
    def __init__(self, root: Path, database: Path | None, name: str) -> None:
        self._root = root
        self._database = database
        self._snapshots = Snapshots(database) if database else None
        self._name = name
        self._digests = Digests()

    def close(self) -> None:
        if self._snapshots:
            self._snapshots.close()

    async def get_status(self, _request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._read_status), headers={"Cache-Control": "no-store"})

    def _read_status(self) -> dict[str, Any]:
        usage = shutil.disk_usage(self._root)
        return {
            "name": self._name,
            "version": __version__,
            "sweeps": count_folders(self._root / "sweeps" / OUTPUTS, ("sweep_",)),
            "runs": count_folders(self._root / "wandb", ("run-", "offline-run-")),
            "load": list(os.getloadavg()),
            "cpus": os.cpu_count() or 0,
            "free_bytes": usage.free,
            "total_bytes": usage.total,
            "has_db": self._snapshots is not None,
            "last_sync": read_last_sync(self._database) if self._database else None,
        }

    async def get_file(self, request: Request) -> Response:
        try:
            # In a thread, as all that reads the disk: other requests go on meanwhile.
            file = await run_in_threadpool(open_shared, self._root, request.path_params["path"])
        except FileNotFoundError:
            return PlainTextResponse("There is no such file.\n", 404)
        return await self._answer(request, file, {})

    async def get_database(self, request: Request) -> Response:
        if self._snapshots is None:
            return PlainTextResponse("No database is served here.\n", 404)
        digest = request.path_params.get("digest")
        try:
            newest = self._snapshots.get_newest
            snapshot = await run_in_threadpool(newest) if digest is None else self._snapshots.get(digest)
            file = open_shared(snapshot.path.parent, snapshot.path.name) if snapshot else None
        except (sqlite3.Error, OSError) as error:
            return PlainTextResponse(f"The database cannot be copied: {type(error).__name__}.\n", 503)
        if snapshot is None or file is None:
            return PlainTextResponse("This snapshot is not kept any more.\n", 404)
        return await self._answer(request, file, {"Content-Location": f"/db/{snapshot.digest}"})

    async def _answer(self, request: Request, file: SharedFile, headers: dict[str, str]) -> Response:
        """Answer with an open file, which is closed when the answer is out."""
        try:
            headers = {**headers, "ETag": file.etag, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
            if "sha-256" in request.headers.get("want-repr-digest", "").lower():
                digest = await run_in_threadpool(self._digests.make, file)
                headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(digest).decode()}:"
            status, begin, end = select_part(request.headers, file)
        except BaseException:
            file.close()
            raise
        if status in (200, 206):
            if status == 206:
                headers["Content-Range"] = f"bytes {begin}-{end - 1}/{file.size}"
            return _FileResponse(file, begin, end, status, headers)
        file.close()
        if status == 416:
            headers["Content-Range"] = f"bytes */{file.size}"
        return Response(status_code=status, headers=headers)


def select_part(headers: Mapping[str, str], file: SharedFile) -> tuple[int, int, int]:
    """Select the part of a file that is answered, by the conditions of the request (RFC 9110, 13).

    Returns:
        The HTTP status (200, 206, 304, 412 or 416), the first byte, and the byte after the last.
    """
    if "if-match" in headers and not _has_tag(headers["if-match"], file.etag):
        return 412, 0, 0
    if "if-none-match" in headers and _has_tag(headers["if-none-match"].replace("W/", ""), file.etag):
        return 304, 0, 0
    # `If-Range` of another version: the whole file, since the part would not fit what the client has.
    if "range" not in headers or headers.get("if-range", file.etag) != file.etag:
        return 200, 0, file.size
    try:
        part = parse_range(headers["range"], file.size)
    except RangeError:
        return 416, 0, 0
    return (206, *part) if part else (200, 0, file.size)


def _has_tag(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in [tag.strip() for tag in header.split(",")]


class _FileResponse(StreamingResponse):
    """Response with a part of an open file, which is closed at the end in any case."""

    def __init__(self, file: SharedFile, begin: int, end: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(
            _iter_chunks(file.descriptor, begin, end),
            status,
            {**headers, "Content-Length": str(end - begin)},
            "application/octet-stream",
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                self.body_iterator = _iter_chunks(self._file.descriptor, 0, 0)
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


async def _iter_chunks(descriptor: int, begin: int, end: int) -> AsyncIterator[bytes]:
    """Yield a part of a file; one that was cut meanwhile ends early, and the connection with it."""
    while begin < end:
        chunk = await run_in_threadpool(os.pread, descriptor, min(CHUNK_BYTES, end - begin), begin)
        if not chunk:
            return
        begin += len(chunk)
        yield chunk


def count_folders(folder: Path, prefixes: tuple[str, ...]) -> int:
    """Count the folders with names that begin so; 0 where there is no such place."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.name.startswith(prefixes) and entry.is_dir() for entry in entries)
    except OSError:
        return 0


def run_server(app: Starlette, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, on a socket that listens already."""
    connections = Connections()
    allow_open_files()
    config = uvicorn.Config(
        CountedRequests(app, connections),
        http=make_protocol(connections),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,  # a client that reads no more would hold up the end for ever
    )
    uvicorn.Server(config).run(sockets=[listener])
