"""`hsm hosts serve` and `hsm hosts fetch`: files from machine to machine over HTTP."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hsm.cli.json_document import print_document
from hsm.cli.sync.options.declarations import Json
from hsm.errors import TargetError, UsageError


def serve_files(
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 for a free one.")
    ] = 8766,
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Serve the files below it.")] = Path(),
    bind: Annotated[str, typer.Option("--bind", metavar="ADDRESS", help="The address to listen at.")] = "127.0.0.1",
    db: Annotated[
        Path | None, typer.Option("--db", metavar="FILE", help="The SQLite file behind /db.", show_default="none")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="Holds the bearer token.", show_default="the variable HSM_HOSTS_TOKEN"
        ),
    ] = None,
) -> None:
    """Serve files read-only over HTTP, until Ctrl-C: /status, /files/..., and /db as a consistent snapshot.

    No path and no symlink leads out of --root; hidden files and files named like secrets are not shown. Beyond
    loopback every request must bring the bearer token. It needs the extra `serve`.
    """
    from hsm.cli.render import show_note
    from hsm.hosts.inventory.identity import is_loopback
    from hsm.hosts.reach.web import TOKEN_VARIABLE

    try:
        from hsm.hosts.server.server import make_server_app, run_server
    except ImportError as error:
        raise TargetError(
            "The data server is not installed.",
            hint="Run `pip install 'hpc-sweep-manager[serve]'`.",
            kind="serve_missing",
        ) from error
    token = _read_token(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "")
    if not token and not is_loopback(bind):
        raise UsageError(
            f"Beyond loopback a token is needed, and {bind} is beyond it.",
            hint=f"Set {TOKEN_VARIABLE}, or give --token-file; the same at the machines that ask.",
            kind="token_missing",
        )
    if not root.is_dir():
        raise UsageError(f"There is no folder {root}.", hint="Correct --root.", kind="no_root")
    if db is not None and not db.is_file():
        raise UsageError(f"There is no file {db}.", hint="Correct --db.", kind="no_db")
    listener = _listen(bind, port)
    shown = f"[{bind}]" if ":" in bind else bind
    show_note(f"Serving {root.resolve()} at http://{shown}:{listener.getsockname()[1]}, until Ctrl-C.")
    run_server(make_server_app(root, database=db, token=token), listener)


def fetch_file(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="The same file at one or several machines.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to put it into.")] = Path(),
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Its name here.", show_default="the URL's end")
    ] = None,
    sha256: Annotated[
        str, typer.Option("--sha256", metavar="HEX", help="What its checksum must be.", show_default="as servers say")
    ] = "",
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="For the transfer.")] = 3600.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another file of this name.")] = False,
    no_aria2: Annotated[bool, typer.Option("--no-aria2", help="Do without aria2c, also where it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch one file from several machines, and check its size and checksum.

    aria2c does it from all at once where it is installed, else one stream from one machine after another. Machines
    whose file differs are left out, and named. The file takes its name when all of it is right; a former one stays
    until then.

    Exit codes: 0 it is there, 1 it could not be fetched or is wrong, 2 usage.
    """
    from hsm.cli.render import show_lines, show_note
    from hsm.hosts.files.fetch import fetch
    from hsm.hosts.files.sources import check_sha256, check_source_url, make_name

    checked = [check_source_url(url) for url in urls]
    place = out / (make_name(f"http://x/{name}") if name is not None else make_name(checked[0]))
    if not out.is_dir():
        raise UsageError(f"There is no folder {out}.", hint="Make it, or correct --out.", kind="no_folder")
    try:
        found = fetch(
            checked,
            place,
            sha256=check_sha256(sha256),
            timeout_seconds=timeout,
            overwrite=overwrite,
            may_use_aria2=not no_aria2,
        )
    except OSError as error:
        raise TargetError(
            f"{out} cannot be written: {error.strerror}.", hint="Check its permissions.", kind="no_permission"
        ) from error
    if as_json:
        print_document("hosts fetch", {**asdict(found), "path": str(found.path)})
        return
    for url, why in found.left_out.items():
        show_note(f"Note: {url} is left out: {why}.")
    if not found.is_verified:
        show_note("Note: no checksum is known; the size alone was checked.")
    how = "was there already" if found.by == "nothing" else f"fetched by {found.by} from {len(found.sources)}"
    show_lines([f"{found.path}: {found.size:,} bytes, sha256 {found.sha256}, {how}"])


def _read_token(path: Path) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read.", hint="Correct --token-file.", kind="token_missing") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{path} holds no token.", hint="A token is one word.", kind="token_missing")
    return token


def _listen(bind: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((bind, port), family=family, backlog=128)
    except OSError as error:
        raise TargetError(
            f"Nothing can listen at {bind}, port {port}: {error.strerror}.",
            hint="Choose another --port, or end what listens there.",
            kind="port_taken",
        ) from error
