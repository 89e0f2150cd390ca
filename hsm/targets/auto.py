"""A target that OpenSSH reaches, and that turns to SFTP where ssh or rsync is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from hsm.config.settings import TargetSettings
from hsm.endpoint import Endpoint, FileEnds, FolderSearch, Survey, Tree
from hsm.errors import HsmError, NoRsyncError, NoShellError, NoSshError, TargetError, UnreachableError
from hsm.model import Problem, Root
from hsm.remote.guard import Guard, GuardPlaces
from hsm.remote.shell import RemoteShell
from hsm.targets.contents.contract import Contents
from hsm.transfer.base import Engine

if TYPE_CHECKING:
    from hsm.targets.openssh import OpenSshTarget
    from hsm.targets.sftp import SftpTarget

_Answer = TypeVar("_Answer")

Tell = Callable[[Problem], None]
"""Takes the line that says why SFTP carries the files, a notice."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """SFTP in the place of what does not work.

    Attributes:
        reason: One sentence.
        does_everything: SFTP does everything; else it carries the files alone.
    """

    reason: str
    does_everything: bool


def find_fallback(settings: TargetSettings, error: HsmError) -> Fallback | None:
    """Find what SFTP can do after an error of OpenSSH or rsync; None where it may do nothing. Pure.

    Without ssh here, or where the target runs no commands, SFTP does everything, by the second client. Where rsync
    alone is missing, at either end, commands still go over OpenSSH.
    """
    if settings.engine != "auto":
        return None
    if isinstance(error, NoRsyncError):
        return Fallback(error.message, does_everything=False)
    if settings.ssh.client != "auto":
        return None
    if isinstance(error, NoSshError):
        return Fallback("There is no ssh on this machine.", does_everything=True)
    return Fallback("The target runs no commands.", does_everything=True) if isinstance(error, NoShellError) else None


class AutoTarget:
    """Implements `hsm.targets.contract.Connection`: OpenSSH and rsync where they work, else SFTP (`find_fallback`).

    Args:
        first: By OpenSSH.
        make_second: Makes the one by paramiko, when it is needed: its libraries take long to import.
        tell: Told once why SFTP is used.
        settings: The target's.
    """

    is_folder = False

    def __init__(
        self, first: OpenSshTarget, make_second: Callable[[], SftpTarget], tell: Tell, settings: TargetSettings
    ) -> None:
        self.name = first.name
        self.endpoint: Endpoint = _AutoEndpoint(self)
        self._first = first
        self._make_second = make_second
        self._tell = tell
        self._settings = settings
        self._may_ask = False
        self._is_second = False
        self._notices: tuple[Problem, ...] = ()

    @cached_property
    def _second(self) -> SftpTarget:
        return self._make_second()

    @property
    def current(self) -> OpenSshTarget | SftpTarget:
        """The one of the two that does everything but carry the files."""
        return self._second if self._is_second else self._first

    @property
    def shell(self) -> RemoteShell | None:
        """See `hsm.targets.contract.Connection.shell`."""
        return self.current.shell

    @property
    def login_lasts_seconds(self) -> int:
        """See `hsm.targets.contract.Connection.login_lasts_seconds`."""
        return self.current.login_lasts_seconds

    def find_host(self) -> str:
        """See `hsm.targets.contract.Connection.find_host`."""
        return self.current.find_host()

    def login(self, *, may_ask: bool = False) -> None:
        """See `hsm.targets.contract.Connection.login`."""
        self._may_ask = may_ask
        if not self._is_second:
            try:
                self._first.login(may_ask=may_ask)
            except NoSshError as error:
                self._turn(error)
            else:
                return
        self._second.login(may_ask=may_ask)

    def turn_to_sftp(self, error: NoShellError) -> None:
        """Let SFTP do everything after the target's shell ran no command.

        Raises:
            NoShellError: It may not, or cannot.
        """
        if self._is_second or find_fallback(self._settings, error) is None:
            raise error
        try:
            self._second.login(may_ask=self._may_ask)
            self._second.endpoint.survey([Tree("/", ("",), 0)])
        except (TargetError, UnreachableError):
            raise error from None
        self._turn(error)

    def logout(self) -> bool:
        """See `hsm.targets.contract.Connection.logout`."""
        was_open = "_second" in self.__dict__ and self._second.logout()
        try:
            return self._first.logout() or was_open
        except NoSshError:
            return was_open

    @contextlib.contextmanager
    def keep_open(self) -> Iterator[None]:
        """See `hsm.targets.contract.Connection.keep_open`."""
        with self._first.keep_open():
            try:
                yield
            finally:
                if "_second" in self.__dict__:
                    self._second.logout()

    def list_notices(self) -> tuple[Problem, ...]:
        """See `hsm.targets.contract.Connection.list_notices`."""
        return self._notices

    def check_roots(self, roots: Mapping[Root, str]) -> None:
        """See `hsm.targets.contract.Connection.check_roots`: only a look there can tell."""

    def contents(self) -> Contents:
        """See `hsm.targets.contract.Connection.contents`."""
        return self.current.contents()

    def make_guard(self, places: GuardPlaces, nonce: str) -> Guard:
        """See `hsm.targets.contract.Connection.make_guard`."""
        return self.current.make_guard(places, nonce)

    def prepare(self, changed: Collection[Root], *, workspace: str, update_only: bool) -> None:
        """See `hsm.targets.contract.Connection.prepare`."""
        self.current.prepare(changed, workspace=workspace, update_only=update_only)

    def release(self) -> None:
        """See `hsm.targets.contract.Connection.release`."""
        self._first.release()

    def make_engine(
        self, roots: Mapping[Root, str], *, workspace: str, update_only: bool, pulls: bool = False
    ) -> Engine:
        """See `hsm.targets.contract.Connection.make_engine`."""
        if not self._is_second:
            try:
                return self._first.make_engine(roots, workspace=workspace, update_only=update_only, pulls=pulls)
            except NoRsyncError as error:
                self._tell_once(f"{error.message} SFTP carries the files.")
            self._second.login(may_ask=self._may_ask)
        return self._second.make_engine(roots, workspace=workspace, update_only=update_only, pulls=pulls)

    def _turn(self, error: HsmError) -> None:
        """Let SFTP do everything from now on; raises the error where it may not."""
        fallback = find_fallback(self._settings, error)
        if fallback is None:
            raise error
        self._tell_once(f"{fallback.reason.rstrip('.')}: SFTP does everything.")
        self._is_second = True

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

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        """See `hsm.endpoint.Endpoint.survey`."""
        return self._try(lambda there: there.survey(trees, receipts=receipts, is_lazy=is_lazy, search=search))

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        return iter(self._try(lambda there: list(there.read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes))))

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        return self._try(lambda there: there.read_file(path))

    def _try(self, ask: Callable[[Endpoint], _Answer]) -> _Answer:
        try:
            return ask(self._target.current.endpoint)
        except NoShellError as error:
            self._target.turn_to_sftp(error)
        return ask(self._target.current.endpoint)
