"""Check of machines: the ssh port of each, a login, its data server, and its load."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, replace
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
    """Findings about one machine when the time was over.

    Attributes:
        name: The machine's name.
        is_active: As the inventory says.
        address: The address whose ssh server answered, or that takes or refuses connections; empty for none.
        round_trip_seconds: Of that connection; None without one.
        tcp: `ok`, `refused` or `no answer`.
        banner: The first line of the ssh server; empty where there is none.
        ssh: `ok`, `not checked`, `no answer`, `no ssh server`, or the kind of error.
        http: `ok`, `not checked`, `no answer`, or what is wrong with the answer.
        url: The URL at which the data server answered; empty for none.
        vitals: The machine's load; None where the login did not tell.
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
        """True where a login or the data server works; where no login was asked for, an ssh server is enough."""
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
        timeout_seconds: For all of them together; later answers count as none.
        with_ssh: Log in; never asks for a password or the like.
        with_http: Ask the data server.

    Returns:
        One finding for each machine, in order.
    """
    runner = Runner()
    memory = load_memory()
    ssh_looks = {node.name: _SshLook(node, runner, memory, with_login=with_ssh) for node in nodes}
    http_looks = {node.name: _HttpLook(node, memory, timeout_seconds) for node in nodes} if with_http else {}
    jobs: dict[tuple[str, str], Callable[[], Coroutine[Any, Any, None]]] = {}
    for name, ssh_look in ssh_looks.items():
        jobs[name, "ssh"] = ssh_look.run
        if with_http:
            jobs[name, "http"] = http_looks[name].run
    try:
        gather(jobs, timeout_seconds=timeout_seconds)
    finally:
        findings = [_describe(node, ssh_looks[node.name], http_looks.get(node.name)) for node in nodes]
        looks: list[_SshLook | _HttpLook] = [*ssh_looks.values(), *http_looks.values()]
        answers = {key: address for look in looks for key, address in look.get_answers().items()}
        runner.stop()
    save_memory({key: address for key, address in answers.items() if memory.get(key) != address})
    return findings


def _describe(node: ClusterNode, ssh_look: _SshLook, http_look: _HttpLook | None) -> HostCheck:
    found = ssh_look.describe(HostCheck(node.name, node.is_active))
    return http_look.describe(found) if http_look else replace(found, http=NOT_CHECKED)


class _SshLook:
    """Look at the ssh server of one machine. It can be described at any moment, since the time may be over at any."""

    def __init__(self, node: ClusterNode, runner: Runner, memory: dict[str, str], *, with_login: bool) -> None:
        self._node = node
        self._runner = runner
        self._memory = memory
        self._with_login = with_login
        self._poor: dict[str, Greeting] = {}
        self._greeting: Greeting | None = None
        self._login = _Login()

    async def run(self) -> None:
        """Find the address that answers, and log in there."""
        node = self._node
        key = make_key(node.name, node.ssh_port)
        self._greeting = await greet_node(node, self._memory.get(key), self._poor)
        if self._with_login and (self._greeting or (node.jump_host and node.addresses)):
            await call_in_thread(self._log_in)

    def _log_in(self) -> None:
        from hsm.remote.openssh.client import OpenSsh  # noqa: PLC0415 - 100 ms of pydantic, where somebody answers

        # Without further tries: their pauses (5, 15, 45 s) are longer than the time for all machines (10 s).
        ssh = OpenSsh(self._node.name, make_login(self._node, self._greeting), self._runner, pauses_seconds=())
        try:
            ssh.login()
            self._login.is_done = True
            self._login.vitals = parse_vitals(ssh.run(PROGRAM).stdout.decode("utf-8", "replace"))
        except HsmError as error:
            self._login.error = error
        except CommandStoppedError:
            pass

    def get_answers(self) -> dict[str, str]:
        """Get the address that answered, to be remembered."""
        if self._greeting is None:
            return {}
        return {make_key(self._node.name, self._node.ssh_port): self._greeting.address}

    def describe(self, found: HostCheck) -> HostCheck:
        """Add what is known at this moment."""
        connection = self._greeting or self._poor.get(self._node.name)
        if connection and connection.problem == "refused":
            found = replace(found, tcp=connection.problem, address=connection.address)
        elif connection:
            found = replace(found, ssh=connection.problem or NO_ANSWER)
            address, seconds, banner = connection.address, connection.seconds, connection.banner
            found = replace(found, tcp=OK, address=address, round_trip_seconds=seconds, banner=banner)
        if self._login.error:
            error = self._login.error
            found = replace(found, ssh=error.kind, message=error.message, hint=error.hint)
        if self._login.is_done:
            found = replace(found, ssh=OK, vitals=self._login.vitals)
        return found if self._with_login else replace(found, ssh=NOT_CHECKED)


@dataclass(slots=True)
class _Login:
    """A login as far as it has come."""

    is_done: bool = False
    vitals: Vitals | None = None
    error: HsmError | None = None


class _HttpLook:
    """Look at the data server of one machine."""

    def __init__(self, node: ClusterNode, memory: dict[str, str], timeout_seconds: float) -> None:
        self._node = node
        self._memory = memory
        self._timeout_seconds = timeout_seconds
        self._reached: Reached | None = None

    async def run(self) -> None:
        """Ask the data server."""
        node = self._node
        self._reached = await read_node_status(node, node.data_server_port, self._memory, self._timeout_seconds)

    def get_answers(self) -> dict[str, str]:
        """Get the address that answered, to be remembered; none where it was the server's own URL."""
        node, reached = self._node, self._reached
        if reached is None or not reached.answer.content:
            return {}
        port = node.data_server_port
        urls = {make_url(address, port): address for address in node.addresses}
        return {make_key(node.name, port): urls[reached.base_url]} if reached.base_url in urls else {}

    def describe(self, found: HostCheck) -> HostCheck:
        """Add what is known at this moment."""
        if self._reached is None:
            return found
        return replace(found, http=self._reached.answer.reason or OK, url=self._reached.base_url)


def get_check_exit_code(checks: Sequence[HostCheck]) -> ExitCode:
    """Return PARTIAL where a machine that is active does not answer, else DONE."""
    silent = any(check.is_active and not check.is_answering for check in checks)
    return ExitCode.PARTIAL if silent else ExitCode.DONE


def make_check_document(checks: Sequence[HostCheck], *, seconds: float) -> dict[str, object]:
    """Make the JSON document of `hsm hosts check`."""
    return {
        "schema": 1,
        "command": "hosts check",
        "exit_code": int(get_check_exit_code(checks)),
        "error": None,
        "at": time.time(),
        "seconds": round(seconds, 3),
        "hosts": [{**asdict(check), "is_answering": check.is_answering} for check in checks],
    }
