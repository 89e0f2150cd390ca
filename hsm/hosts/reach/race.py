"""Races of several attempts, with an end in time even against a hostile server."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

HEAD_START_SECONDS = 0.25
"""Time that the more preferred attempt has for itself before the next begins too (250 ms in RFC 8305)."""

_GRACE_SECONDS = 0.4  # for cancelling; the thread is a daemon, so that nobody waits longer
_Key = TypeVar("_Key")
_Answer = TypeVar("_Answer")


async def race(
    attempts: Sequence[Callable[[], Awaitable[_Answer | None]]], *, head_start_seconds: float = HEAD_START_SECONDS
) -> tuple[int, _Answer] | None:
    """Try several ways to one answer, each a head start after the one before, or at once when that one failed.

    Args:
        attempts: In order of preference; each gives None where it failed.
        head_start_seconds: Time that each has before the next begins.

    Returns:
        The number of the first that answered and its answer; None when all failed. The others are cancelled.
    """
    waiting = list(enumerate(attempts))
    running: dict[asyncio.Future[_Answer | None], int] = {}
    try:
        while waiting or running:
            if waiting:
                number, attempt = waiting.pop(0)
                running[asyncio.ensure_future(attempt())] = number
            limit = head_start_seconds if waiting else None
            done, _ = await asyncio.wait(running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=running.__getitem__):  # of those that ended at once, the more preferred one
                number = running.pop(task)
                answer = task.result()
                if answer is not None:
                    return number, answer
        return None
    finally:
        for task in running:
            task.cancel()
        # A cancelled attempt has a connection to close; without this wait asyncio would complain of it at the end.
        await asyncio.gather(*running, return_exceptions=True)


async def resolve(host: str) -> list[str]:
    """Look up a host's addresses, in the system's order, each once; an address is its own. Empty where unknown."""
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]

    def look_up() -> list[str]:
        try:
            records = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        return list(dict.fromkeys(str(record[4][0]) for record in records))

    return await call_in_thread(look_up)


async def call_in_thread(call: Callable[[], _Answer]) -> _Answer:
    """Run a call that blocks in a thread; nobody waits for that when this is cancelled, or when the program ends."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_Answer] = loop.create_future()

    def settle(value: _Answer | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, value, error)

    # The system's resolver has no time limit, and an executor's threads would keep the program from ending.
    threading.Thread(target=run, name="hsm-call", daemon=True).start()
    return await answer


def gather(
    jobs: Mapping[_Key, Callable[[], Coroutine[Any, Any, _Answer]]], *, timeout_seconds: float
) -> dict[_Key, _Answer]:
    """Do jobs at the same time, and return the answers that are there when the time is over.

    Args:
        jobs: By a key.
        timeout_seconds: For all together. Jobs that are not done then are cancelled.

    Returns:
        The answers of those that are done, in the order of `jobs`.
    """
    answers: dict[_Key, _Answer] = {}
    errors: list[BaseException] = []

    async def keep(key: _Key, job: Callable[[], Coroutine[Any, Any, _Answer]]) -> None:
        answers[key] = await job()

    async def work() -> None:
        tasks = [asyncio.ensure_future(keep(key, job)) for key, job in jobs.items()]
        done, open_tasks = await asyncio.wait(tasks, timeout=timeout_seconds)
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
        for task in done:
            task.result()

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            errors.append(error)

    if not jobs:
        return {}
    # One limit for all of a call, in a thread of its own: a library's is one for each read, and a server that sends a
    # byte a second keeps to it for ever.
    thread = threading.Thread(target=run, name="hsm-gather", daemon=True)
    thread.start()
    thread.join(timeout_seconds + _GRACE_SECONDS)
    if errors:
        raise errors[0]
    finished = dict(answers)
    return {key: finished[key] for key in jobs if key in finished}
