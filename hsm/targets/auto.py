"""A target that OpenSSH reaches, and that turns to SFTP where ssh or rsync is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

from hsm.endpoint import Endpoint, FileEnds, Survey, Tree
from hsm.errors import TargetError, UnreachableError
from hsm.model import Problem, Root
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.guard import GuardPlaces, Keeper, MakeKeeper
from hsm.targets.head_start import HeadStart
from hsm.transfer.base import Engine

if TYPE_CHECKING:
    from hsm.targets.sftp import SftpTarget

NO_RSYNC_KINDS = frozenset({"rsync_missing", "rsync_missing_here", "rsync_too_old"})
"""With these errors of an rsync, SFTP carries the files."""

_Answer = TypeVar("_Answer")

Tell = Callable[[Problem], None]
"""Takes the line that says why SFTP carries the files, a notice."""


class _ByOpenSsh(Protocol):
    """What `hsm.targets.connect.OpenSshTarget` has."""

    endpoint: RemoteEndpoint
    make_guard: MakeKeeper
    shell: RemoteShell | None
    keep_open: Callable[[], AbstractContextManager[None]]
    logout: Callable[[], bool]
    head_start: HeadStart | None

    def login(self, *, may_ask: bool = False) -> None: ...

    def make_engine(
        self, roots: Mapping[Root, str], *, sweep: str, skips_newer: bool, pulls: bool = False
    ) -> Engine: ...


class AutoTarget:
    """Keeps `hsm.targets.connect.Connection`: OpenSSH and rsync where they work, else SFTP by the second client.

    Without ssh here, or where the target runs no commands, SFTP does everything. Where rsync alone is missing, at
    either end, commands still go over OpenSSH, and only the files over SFTP.

    Args:
        name: The target's name.
        first: By OpenSSH.
        make_second: Makes the one by paramiko, when it is needed: its libraries take long to import.
        tell: Told once why SFTP is used.
        login_lasts_seconds: Of the first.
        may_change_client: The second may do everything (`client: auto`).
    """

    is_folder = False

    def __init__(
        self,
        name: str,
        first: _ByOpenSsh,
        make_second: Callable[[], SftpTarget],
        tell: Tell,
        *,
        login_lasts_seconds: int,
        may_change_client: bool,
    ) -> None:
        self.name = name
        self.endpoint: Endpoint = _AutoEndpoint(self)
        self.first = first
        self._make_second = make_second
        self.head_start = first.head_start
        self._tell = tell
        self._lasts_seconds = login_lasts_seconds
        self._may_change_client = may_change_client
        self._may_ask = False
        self.is_second = False
        self._notices: tuple[Problem, ...] = ()

    @cached_property
    def second(self) -> SftpTarget:
        """The one by paramiko."""
        return self._make_second()

    @property
    def shell(self) -> RemoteShell | None:
        """See `hsm.targets.connect.Connection.shell`."""
        return self.second.shell if self.is_second else self.first.shell

    @property
    def login_lasts_seconds(self) -> int:
        """See `hsm.targets.connect.Connection.login_lasts_seconds`."""
        return 0 if self.is_second else self._lasts_seconds

    def login(self, *, may_ask: bool = False) -> None:
        """See `hsm.targets.connect.Connection.login`."""
        self._may_ask = may_ask
        if not self.is_second:
            try:
                self.first.login(may_ask=may_ask)
            except UnreachableError as error:
                if error.kind != "ssh_missing" or not self._may_change_client:
                    raise
                self._tell_once("There is no ssh on this machine: SFTP does everything.")
                self.is_second = True
            else:
                return
        self.second.login(may_ask=may_ask)

    def turn_to_sftp(self, error: TargetError) -> bool:
        """Let SFTP do everything after the target's shell ran no command; False where it may not, or cannot."""
        if self.is_second or error.kind != "noisy_shell" or not self._may_change_client:
            return False
        try:
            self.second.login(may_ask=self._may_ask)
            self.second.endpoint.survey([Tree("/", ("",), 0)])
        except (TargetError, UnreachableError):
            return False
        self._tell_once("The target runs no commands: SFTP does everything.")
        self.is_second = True
        return True

    def logout(self) -> bool:
        """See `hsm.targets.connect.Connection.logout`."""
        was_open = "second" in self.__dict__ and self.second.logout()
        try:
            return self.first.logout() or was_open
        except UnreachableError as error:
            if error.kind != "ssh_missing":
                raise
            return was_open

    @contextlib.contextmanager
    def keep_open(self) -> Iterator[None]:
        """See `hsm.targets.connect.Connection.keep_open`."""
        with self.first.keep_open():
            try:
                yield
            finally:
                if "second" in self.__dict__:
                    self.second.logout()

    def list_notices(self) -> tuple[Problem, ...]:
        """See `hsm.targets.connect.Connection.list_notices`."""
        return self._notices

    def check_roots(self, roots: Mapping[Root, str]) -> None:
        """See `hsm.targets.connect.Connection.check_roots`: only the check over there can tell."""

    def make_guard(self, places: GuardPlaces, nonce: str) -> Keeper:
        """See `hsm.targets.connect.Connection.make_guard`."""
        return (self.second if self.is_second else self.first).make_guard(places, nonce)

    def make_engine(self, roots: Mapping[Root, str], *, sweep: str, skips_newer: bool, pulls: bool = False) -> Engine:
        """See `hsm.targets.connect.Connection.make_engine`."""
        if not self.is_second:
            try:
                return self.first.make_engine(roots, sweep=sweep, skips_newer=skips_newer, pulls=pulls)
            except TargetError as error:
                if error.kind not in NO_RSYNC_KINDS:
                    raise
                self._tell_once(f"{error.message} SFTP carries the files.")
            self.second.login(may_ask=self._may_ask)
        return self.second.make_engine(roots, sweep=sweep, skips_newer=skips_newer, pulls=pulls)

    def _tell_once(self, text: str) -> None:
        if not self._notices:
            self._notices = (Problem("", "by_sftp", text, is_failure=False),)
            self._tell(self._notices[0])


class _AutoEndpoint:
    """The end of an `AutoTarget`; turns to SFTP when the shell there runs no command."""

    is_remote = True

    def __init__(self, target: AutoTarget) -> None:
        self._target = target

    @property
    def name(self) -> str:
        """The target's name."""
        return self._target.name

    def survey(self, trees: Sequence[Tree], *, receipts: str = "", known: str = "") -> Survey:
        """See `hsm.endpoint.Endpoint.survey`."""
        return self._try(lambda there: there.survey(trees, receipts=receipts, known=known))

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        return iter(self._try(lambda there: list(there.read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes))))

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        return self._try(lambda there: there.read_file(path))

    def _try(self, ask: Callable[[Endpoint], _Answer]) -> _Answer:
        try:
            return ask(self._there)
        except TargetError as error:
            if not self._target.turn_to_sftp(error):
                raise
        return ask(self._there)

    @property
    def _there(self) -> Endpoint:
        return self._target.second.endpoint if self._target.is_second else self._target.first.endpoint
