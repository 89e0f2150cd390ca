"""Request for one JSON object of a web server: of limited size, and of no other server."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from hsm.hosts.reach.race import race, resolve

if TYPE_CHECKING:
    import httpx

TOKEN_VARIABLE = "HSM_HOSTS_TOKEN"  # noqa: S105 - the name of a variable
MAX_ANSWER_BYTES = 1024 * 1024
_MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a web server.

    Attributes:
        status: The HTTP status; 0 where it is no HTTP.
        content: The JSON object; None where the answer is none, is too large, or has another status than 2xx.
        reason: The reason why there is no content; empty where there is.
    """

    status: int
    content: dict[str, Any] | None
    reason: str = ""


def make_headers() -> dict[str, str]:
    """Make the headers of every request, with HSM_HOSTS_TOKEN as bearer token where it is set."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    return {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {token}"} if token else {})}


def make_client(timeout_seconds: float) -> httpx.AsyncClient:
    """Make a client that follows no redirect by itself, and uses neither the environment's proxies nor `.netrc`."""
    import httpx  # noqa: PLC0415 - 100 ms that only a request needs

    return httpx.AsyncClient(timeout=timeout_seconds, follow_redirects=False, trust_env=False, headers=make_headers())


async def ask(client: httpx.AsyncClient, url: str) -> Answer | None:
    """Ask for a JSON object; the name's addresses are tried one after the other, each with a head start.

    Args:
        client: See `make_client`.
        url: An http or https URL.

    Returns:
        The answer, also one without content; None where nobody answers. The caller limits the time.
    """
    try:
        host = unquote(urlsplit(url).hostname or "")
    except ValueError:
        return None
    addresses = await resolve(host)
    won = await race([lambda address=address: _ask_at(client, url, address) for address in addresses])  # type: ignore[misc]
    return won[1] if won else None


async def _ask_at(client: httpx.AsyncClient, url: str, address: str) -> Answer | None:
    import httpx  # noqa: PLC0415 - loaded already

    try:
        for _ in range(_MAX_REDIRECTS + 1):
            answer, location = await _ask_once(client, url, address)
            if location is None:
                return answer
            there = httpx.URL(url).join(location)
            # The token stands in the headers of every request of this client: no other server may get it.
            if _get_origin(there) != _get_origin(httpx.URL(url)):
                return Answer(answer.status, None, f"it redirects to another place, {there.host}:{there.port}")
            url = str(there)
    except httpx.RemoteProtocolError:
        return Answer(0, None, "it does not speak HTTP")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError):
        return None
    return Answer(answer.status, None, "it redirects in circles")


def _get_origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


async def _ask_once(client: httpx.AsyncClient, url: str, address: str) -> tuple[Answer, str | None]:
    """Ask at one address; the answer, and the place that it redirects to."""
    import httpx  # noqa: PLC0415 - loaded already

    named = httpx.URL(url)
    request = client.build_request(
        "GET",
        # The zone of an IPv6 address stands behind a `%`, which a URL takes for an escape (RFC 6874).
        named.copy_with(host=address.replace("%", "%25") if "%" in address else address),
        headers={"Host": named.netloc.decode("ascii")},  # the URL has an address in place of the name
        extensions={**_make_extensions(client, named)},
    )
    response = await client.send(request, stream=True)
    try:
        if response.is_redirect:
            return Answer(response.status_code, None, "it redirects"), response.headers.get("location", "")
        return await _read(response), None
    finally:
        await response.aclose()


def _make_extensions(client: httpx.AsyncClient, url: httpx.URL) -> Mapping[str, Any]:
    """Make the extensions of a request: the client's time limits, which they would else replace, and TLS's name."""
    limits = {"timeout": client.timeout.as_dict()}
    return {**limits, "sni_hostname": url.host} if url.scheme == "https" else limits


async def _read(response: httpx.Response) -> Answer:
    status = response.status_code
    if not response.is_success:
        return Answer(status, None, f"HTTP status {status}")
    # Unpacked, a small answer may fill the memory.
    if response.headers.get("content-encoding", "identity") != "identity":
        return Answer(status, None, "it is compressed, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            return Answer(status, None, f"it is larger than {MAX_ANSWER_BYTES // 1024} KiB")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return Answer(status, None, "it is no JSON")
    return Answer(status, data) if isinstance(data, dict) else Answer(status, None, "it is no JSON object")
