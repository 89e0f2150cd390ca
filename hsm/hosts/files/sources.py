"""Sources of one file at several machines: its size and checksum at each, and those that agree."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urljoin, urlsplit

from hsm.errors import TargetError, UsageError
from hsm.hosts.reach.race import gather
from hsm.hosts.reach.web import make_client

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]{44}):")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file as one server has it.

    Attributes:
        url: Of the file, or of this version of it where the server names that (`Content-Location`).
        size: Bytes.
        sha256: Hex; empty where the server does not tell.
        etag: Tells versions apart; empty where the server has none.
        has_ranges: The server sends parts of it.
    """

    url: str
    size: int
    sha256: str = ""
    etag: str = ""
    has_ranges: bool = False


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """The sources that agree, and the others.

    Attributes:
        sources: At least one; all have the same size and checksum.
        left_out: URL -> why.
    """

    sources: tuple[FileSource, ...]
    left_out: dict[str, str]


def check_source_url(url: str) -> str:
    """Check that `url` is an http or https URL without user and blanks, and return it.

    Raises:
        UsageError: It is none (kind `bad_url`).
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        is_good = is_good and parts.port != 0 and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(f"{url!r} is no http or https URL without user and blanks.", kind="bad_url")
    return url


def make_name(url: str) -> str:
    """Make the file name that a URL ends with.

    Raises:
        UsageError: It ends with none (kind `bad_url`).
    """
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    if not name or name.startswith(".") or "/" in name or not name.isprintable() or len(name.encode()) > 200:
        raise UsageError(f"{url} does not end with a file's name.", hint="Give one with --name.", kind="bad_url")
    return name


def check_sha256(text: str) -> str:
    """Check that `text` is a SHA-256, and return it in small letters; empty stays empty.

    Raises:
        UsageError: It is none (kind `usage`).
    """
    if text and not _SHA256.fullmatch(text.lower()):
        raise UsageError(f"{text!r} is no SHA-256 of 64 hex digits.", kind="usage")
    return text.lower()


def find_sources(urls: Sequence[str], *, timeout_seconds: float, sha256: str = "") -> SourceChoice:
    """Ask all servers at the same time for size and checksum, and choose those that agree.

    Args:
        urls: The same file at several servers.
        timeout_seconds: For all together; a server may have to read the file for its checksum.
        sha256: Its checksum; empty for that which most servers name, or the first of several named as often.

    Raises:
        TargetError: No server has it (kind `no_source`).
    """
    jobs = {url: partial(_look_at, url, timeout_seconds) for url in dict.fromkeys(urls)}
    answers = gather(jobs, timeout_seconds=timeout_seconds)
    left_out = {url: str(answers.get(url, "no answer")) for url in jobs if not isinstance(answers.get(url), FileSource)}
    groups: dict[tuple[int, str], list[tuple[str, FileSource]]] = {}
    for url, source in answers.items():
        if isinstance(source, FileSource):
            groups.setdefault((source.size, source.sha256), []).append((url, source))
    if sha256:
        groups = {key: group for key, group in groups.items() if key[1] in ("", sha256)}
    if not groups:
        reasons = "; ".join(f"{url}: {why}" for url, why in left_out.items()) or f"none has the checksum {sha256}"
        raise TargetError(
            f"No server has the file: {reasons}", hint="`hsm hosts urls data` shows who answers.", kind="no_source"
        )
    # The wanted checksum first, then most servers; of as many, those that name a checksum, which can be compared.
    best = max(groups, key=lambda key: (bool(sha256) and key[1] == sha256, len(groups[key]), bool(key[1])))
    chosen = [source for _, source in groups[best]]
    for url, source in answers.items():
        if isinstance(source, FileSource) and source not in chosen:
            left_out[url] = "its file has another size or checksum"
    return SourceChoice(tuple(chosen), left_out)


async def _look_at(url: str, timeout_seconds: float) -> FileSource | str:
    import httpx  # noqa: PLC0415 - 100 ms that only a request needs

    async with make_client(timeout_seconds) as client:
        try:
            response = await client.head(url, headers={"Want-Repr-Digest": "sha-256=1"})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return str(error) or type(error).__name__
    if response.status_code != 200:  # redirects are not followed: the token would go along
        return f"HTTP status {response.status_code}"
    length = response.headers.get("content-length", "")
    if not length.isdigit() or len(length) > 15 or "content-encoding" in response.headers:
        return "it does not tell the file's size"
    return FileSource(
        _pin(url, response.headers.get("content-location", "")),
        int(length),
        _parse_digest(response.headers.get("repr-digest", "")),
        response.headers.get("etag", ""),
        response.headers.get("accept-ranges", "") == "bytes",
    )


def _pin(url: str, location: str) -> str:
    """Make the URL of this version, where the server names one of its own."""
    there = urljoin(url, location) if location else url
    one, other = urlsplit(url), urlsplit(there)
    # Only on the same server: the token is sent along, and an answer may name any place.
    return there if (one.scheme, one.netloc) == (other.scheme, other.netloc) and there.isprintable() else url


def _parse_digest(header: str) -> str:
    """Read a `Repr-Digest` header (RFC 9530); hex, empty where it has no SHA-256."""
    match = _DIGEST.search(header)
    try:
        return base64.b64decode(match[1], validate=True).hex() if match else ""
    except binascii.Error:
        return ""
