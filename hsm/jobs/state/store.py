"""Store of a sweep's state: one file, replaced in one step, changed under a lock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from hsm.errors import LockedError, TargetError
from hsm.file_errors import explain_os_error
from hsm.files import DamagedFileError, NewerFileError, load_json, save_json
from hsm.jobs.state.document import SCHEMA, make_state_document, parse_state_document
from hsm.jobs.state.values import SweepState
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.records.lock import hold_local_lock

_PATIENCE_SECONDS = 20.0
"""For another call that changes the state: it asks nobody while it holds the lock, and is done at once."""

_PAUSE_SECONDS = 0.1


class BadStateError(TargetError):
    """The state of a sweep cannot be read or written."""

    kind = "bad_sweep_state"


class StateStore:
    """State of one sweep on disk.

    Args:
        folder: The sweep's.
        sweep: Its id.
        key: Of the prepared sweep.
    """

    def __init__(self, folder: PreparedFolder, sweep: str, key: str) -> None:
        self._folder = folder
        self._sweep = sweep
        self._key = key

    def load(self) -> SweepState:
        """Load the state; an empty one where nothing was submitted.

        Raises:
            BadStateError: It cannot be read, or is another sweep's.
        """
        path = self._folder.state
        try:
            data = load_json(path, schema=SCHEMA)
            state = SweepState(self._sweep, self._key) if data is None else parse_state_document(data)
        except NewerFileError as error:
            raise BadStateError(str(error), hint="Use that version of HSM.") from None
        except (DamagedFileError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadStateError(
                f"{path} is damaged: {error}",
                hint=f"Its jobs go on: `squeue --me` shows them. To begin anew, move {path} away once they have ended.",
            ) from None
        except OSError as error:
            reason, hint = explain_os_error(error, path)
            raise BadStateError(f"{path} cannot be read: {reason}", hint=hint) from None
        if state.key != self._key:
            raise BadStateError(
                f"{path} belongs to another sweep of this name.",
                hint=f"Move it away, then run it again: `mv {path} {path}.old`",
            )
        return state

    @contextlib.contextmanager
    def change(self) -> Iterator[SweepState]:
        """Hold the lock while inside, and save what was changed there; an exception leaves the file as it was.

        Raises:
            LockedError: Another call holds the lock for long.
            BadStateError: The state cannot be read or written.
        """
        with contextlib.ExitStack() as stack:
            self._take_lock(stack)
            state = self.load()
            yield state
            try:
                save_json(self._folder.state, make_state_document(state), schema=SCHEMA)
            except OSError as error:
                reason, hint = explain_os_error(error, self._folder.state)
                raise BadStateError(f"{self._folder.state} cannot be written: {reason}", hint=hint) from None

    def _take_lock(self, stack: contextlib.ExitStack) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                stack.enter_context(hold_local_lock(self._folder.lock, sweep=self._sweep, target="", breaks=False))
                return
            except LockedError as error:
                if time.monotonic() > deadline:
                    raise error.reword(
                        f"Another call of HSM is changing the state of {self._sweep}.",
                        hint=f"Wait for it. If it is certain that none runs, remove {self._folder.lock}.",
                    ) from None
            time.sleep(_PAUSE_SECONDS)
