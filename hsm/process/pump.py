"""The pump: feeds a process and takes what it prints, at the same time, in one thread.

`Popen.communicate` does not do. An ssh hands its pipes on to the control master, which keeps them open until the far
end is done, also when the ssh itself was killed: after an interrupt or a timeout `communicate` would wait for another
program. And it cannot be called again with a time limit while a part of the input is unsent. So the pump wakes up five
times a second and asks whether the answer still matters.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Mapping
from typing import IO

_CHUNK_BYTES = 64 * 1024

LOOK_SECONDS = 0.2
"""Between two looks whether the answer of another program still matters."""

Sink = Callable[[bytes], object]
"""Takes a chunk of what a process printed."""


class Pump:
    """Moves bytes between this process and the pipes of another one. Used by one thread.

    Args:
        stdin: The other one's standard input, if it has one.
        sinks: By output, what takes its chunks.
        rest_seconds: Pause between two looks at the outputs, once the input is written: the output of a program that
            prints thousands of lines a second then comes in larger chunks.
    """

    def __init__(
        self, stdin: IO[bytes] | None, sinks: Mapping[IO[bytes] | None, Sink], *, rest_seconds: float = 0.0
    ) -> None:
        self._rest_seconds = rest_seconds
        self._selector = selectors.DefaultSelector()
        self._stdin = stdin
        self._left = memoryview(b"")
        self._closes = False
        self._n_outputs = 0
        if stdin is not None:
            os.set_blocking(stdin.fileno(), False)  # a process that does not read must not hold up its outputs
        for stream, sink in sinks.items():
            if stream is not None:
                self._selector.register(stream, selectors.EVENT_READ, sink)
                self._n_outputs += 1

    @property
    def is_ended(self) -> bool:
        """True once the process has closed all its outputs."""
        return self._n_outputs == 0

    def feed(self, content: bytes, *, closes: bool) -> None:
        """Write `content` while the pump runs; the content before it must have been written.

        Args:
            content: For standard input.
            closes: Close it afterwards.
        """
        self._closes = closes
        self._left = memoryview(content)
        if self._stdin is None or self._stdin.closed:
            return
        if self._left:
            self._selector.register(self._stdin, selectors.EVENT_WRITE, None)
        elif closes:
            self._stdin.close()

    def run(self, *, is_done: Callable[[], bool], check: Callable[[], None]) -> None:
        """Move bytes until `is_done` says so or the outputs have ended.

        Args:
            is_done: Asked after every chunk.
            check: Called at least five times a second; raises what ends the work early.
        """
        while not self.is_ended and not is_done():
            for key, _ in self._selector.select(LOOK_SECONDS):
                if key.data is None:
                    self._write()
                elif chunk := os.read(key.fd, _CHUNK_BYTES):
                    key.data(chunk)
                else:  # the end of this output
                    self._selector.unregister(key.fileobj)
                    self._n_outputs -= 1
            check()
            if self._rest_seconds and not self._left and not self.is_ended:
                time.sleep(self._rest_seconds)

    def close(self) -> None:
        """Release the pipes, which stay open."""
        self._selector.close()

    def _write(self) -> None:
        """Write what the pipe takes; a process that does not read the rest is no error."""
        if self._stdin is None:
            return
        with contextlib.suppress(BlockingIOError):
            try:
                self._left = self._left[os.write(self._stdin.fileno(), self._left[:_CHUNK_BYTES]) :]
            except BrokenPipeError:
                self._left = self._left[:0]
            if not self._left:
                self._selector.unregister(self._stdin)
                if self._closes:
                    self._stdin.close()
