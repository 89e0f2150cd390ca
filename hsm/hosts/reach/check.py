"""What answers at each machine: its ssh port, a login, its data server, and how busy it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from hsm.errors import ExitCode, HsmError
from hsm.hosts.inventory.node import ClusterNode, make_url
from hsm.hosts.reach.address_memory import load_memory, make_key, save_memory
from hsm.hosts.reach.login import Greeting, greet_node, make_login
from hsm.hosts.reach.race import call_in_thread, gather
from hsm.hosts.reach.statuses import Reached, read_node_status
from hsm.hosts.reach.vitals import PROGRAM, Vitals, parse_vitals
from hsm.process.runner import CommandStoppedError, Runner

TIMEOUT_SECONDS = 10.0
OK = "ok"
NOT_CHECKED = "not checked"
NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class HostCheck:
    """What was found of one machine when the time was over.

    Attributes:
        name: The machine's name.
        is_active: Whether the inventory says so.
        address: The address whose ssh server answered, or that takes or refuses connections; empty for none.
        round_trip_seconds: Of that connection; None without one.
        tcp: `ok`, `refused` or `no answer`.
        banner: How the ssh server presented itself; empty where none did.
        ssh: `ok`, `not checked`, `no answer`, `no ssh server`, or the kind of error.
        http: `ok`, `not checked`, `no answer`, or what is wrong with the answer.
        url: Where the data server answered; empty for nowhere.
        vitals: How busy the machine is; None where the login did not tell.
        message: What failed about ssh, in a sentence.
        hint: What to do about it.
    """

    name: str
    is_active: bool
    address: str = ""
    round_trip_seconds: float | None = None
    tcp: str = NO_ANSWER
    banner: str = ""
    ssh: str = NO_ANSWER
    http: str = NO_ANSWER
    url: str = ""
    vitals: Vitals | None = None
    message: str = ""
    hint: str = ""

    @property
    def is_answering(self) -> bool:
        """Whether a login or the data server works; where no login was asked for, an ssh server is enough."""
        return OK in (self.ssh, self.http) or (self.ssh == NOT_CHECKED and bool(self.banner))


def check_hosts(
    nodes: Sequence[ClusterNode],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    with_ssh: bool = True,
    with_http: bool = True,
) -> list[HostCheck]:
    """Look at all machines at the same time. Shared logins that are opened stay open.

    Args:
        nodes: The machines.
        timeout_seconds: For all of them together: what is not known then counts as no answer.
        with_ssh: Log in; never asks for anything.
        with_http: Ask the data server.

    Returns:
        One finding for each machine, in order.
    """
    runner = Runner()
    memory = load_memory()
    checkups = {node.name: _Checkup(node, runner, memory, timeout_seconds) for node in nodes}
    jobs: dict[tuple[str, str], Callable[[], Coroutine[Any, Any, None]]] = {}
    for name, checkup in checkups.items():
        jobs[name, "ssh"] = partial(checkup.look_at_ssh, with_login=with_ssh)
        if with_http:
            jobs[name, "http"] = checkup.look_at_http
    try:
        gather(jobs, timeout_seconds=timeout_seconds)
    finally:
        findings = [checkup.describe(with_ssh=with_ssh, with_http=with_http) for checkup in checkups.values()]
        answers = {key: address for checkup in checkups.values() for key, address in dict(checkup.answers).items()}
        runner.stop()
    save_memory({key: address for key, address in answers.items() if memory.get(key) != address})
    return findings


class _Checkup:
    """What is known of one machine so far; the time may be over at any moment."""

    def __init__(self, node: ClusterNode, runner: Runner, memory: dict[str, str], timeout_seconds: float) -> None:
        self._node = node
        self._runner = runner
        self._memory = memory
        self._timeout_seconds = timeout_seconds
        self._poor: dict[str, Greeting] = {}
        self._greeting: Greeting | None = None
        self._reached: Reached | None = None
        self._is_logged_in = False
        self._error: HsmError | None = None
        self._vitals: Vitals | None = None
        self.answers: dict[str, str] = {}

    async def look_at_ssh(self, *, with_login: bool) -> None:
        """Find the address that answers and log in there."""
        node = self._node
        key = make_key(node.name, node.ssh_port)
        self._greeting = await greet_node(node, self._memory.get(key), self._poor)
        if self._greeting:
            self.answers[key] = self._greeting.address
        if with_login and (self._greeting or (node.jump_host and node.addresses)):
            await call_in_thread(self._log_in)

    async def look_at_http(self) -> None:
        """Ask the data server."""
        node = self._node
        port = node.data_server_port
        self._reached = await read_node_status(node, port, self._memory, self._timeout_seconds)
        for address in node.addresses:
            if self._reached and self._reached.answer.content and self._reached.base_url == make_url(address, port):
                self.answers[make_key(node.name, port)] = address

    def _log_in(self) -> None:
        from hsm.remote.openssh.client import OpenSsh  # noqa: PLC0415 - 100 ms of pydantic, where somebody answers

        ssh = OpenSsh(self._node.name, make_login(self._node, self._greeting), self._runner, pauses_seconds=())
        try:
            ssh.login()
            self._is_logged_in = True
            self._vitals = parse_vitals(ssh.run(PROGRAM).stdout.decode("utf-8", "replace"))
        except HsmError as error:
            self._error = error
        except CommandStoppedError:
            pass

    def describe(self, *, with_ssh: bool, with_http: bool) -> HostCheck:
        """Return what is known at this moment."""
        found = HostCheck(self._node.name, self._node.is_active)
        connection = self._greeting or self._poor.get(self._node.name)
        if connection and connection.problem == "refused":
            found = replace(found, tcp=connection.problem, address=connection.address)
        elif connection:
            found = replace(found, ssh=connection.problem or NO_ANSWER)
            address, seconds, banner = connection.address, connection.seconds, connection.banner
            found = replace(found, tcp=OK, address=address, round_trip_seconds=seconds, banner=banner)
        reached, error = self._reached, self._error
        if reached:
            found = replace(found, http=reached.answer.reason or OK, url=reached.base_url)
        if error:
            found = replace(found, ssh=error.kind, message=error.message, hint=error.hint)
        if self._is_logged_in:
            found = replace(found, ssh=OK, vitals=self._vitals)
        return replace(found, ssh=found.ssh if with_ssh else NOT_CHECKED, http=found.http if with_http else NOT_CHECKED)


def get_check_exit_code(checks: Sequence[HostCheck]) -> ExitCode:
    """1 when a machine that is active does not answer, else 0."""
    silent = any(check.is_active and not check.is_answering for check in checks)
    return ExitCode.PARTIAL if silent else ExitCode.DONE


def make_check_document(checks: Sequence[HostCheck], *, seconds: float) -> dict[str, object]:
    """The JSON document of `hsm hosts check`."""
    return {
        "schema": 1,
        "command": "hosts check",
        "exit_code": int(get_check_exit_code(checks)),
        "error": None,
        "at": time.time(),
        "seconds": round(seconds, 3),
        "hosts": [{**asdict(check), "is_answering": check.is_answering} for check in checks],
    }
