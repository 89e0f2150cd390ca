"""Output of a program as it comes, which must not fill the memory of who asked."""

from __future__ import annotations

from hsm.errors import TargetError

MOST_ANSWER_BYTES = 512 * 1024**2
"""Of an answer: a listing of three million files."""

MOST_COMPLAINT_BYTES = 16 * 1024**2
"""Of standard error: `find` complains of each folder that it may not read, here of some hundred thousand."""

MOST_NOISE_BYTES = 1024**2
"""Of the text of start-up files before an answer begins."""


class AnswerTooLongError(TargetError):
    """A program prints more than an answer can have, perhaps for ever."""

    kind = "answer_too_long"

    def name_target(self, name: str, command_line: str) -> AnswerTooLongError:
        """Make the error of a target at which the program ran.

        Args:
            name: The target's.
            command_line: The command a person types to try a login.
        """
        return self.reword(
            f"Target {name} does not stop printing: {self.message}",
            hint=f"Try `{command_line} true | head -c 1000`: a start-up file there may print without an end.",
        )


class Search:
    """Search for a word in what comes in, which reads each byte once."""

    def __init__(self, content: bytearray, word: bytes) -> None:
        self._content = content
        self._word = word
        self._begin = 0

    def is_found(self) -> bool:
        """Tell whether it is there by now."""
        is_found = self._content.find(self._word, self._begin) >= 0
        if not is_found:
            self._begin = max(0, len(self._content) - len(self._word))  # it may come in two halves
        return is_found


class KeptOutput:
    """Output that is kept whole.

    Args:
        program: The one that prints, for the error.
        most_bytes: Of all of it.

    Attributes:
        content: What came so far.
    """

    def __init__(self, program: str, most_bytes: int) -> None:
        self._program = program
        self._most_bytes = most_bytes
        self._beginning: Search | None = None
        self.content = bytearray()

    def expect(self, begin: bytes) -> None:
        """Limit what comes before a word to the noise of start-up files."""
        self._beginning = Search(self.content, begin) if begin else None

    def take(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            AnswerTooLongError: It is more than there may be.
        """
        self.content += chunk
        if self._beginning is not None:
            if self._beginning.is_found():
                self._beginning = None
            elif len(self.content) > MOST_NOISE_BYTES:
                self._refuse(MOST_NOISE_BYTES, "of text before the answer")
        if len(self.content) > self._most_bytes:
            self._refuse(self._most_bytes, "in one answer")

    def _refuse(self, limit: int, what: str) -> None:
        raise AnswerTooLongError(
            f"`{self._program}` printed more than {limit // 1024**2} MiB {what}, and was ended.",
            hint="Run it by hand: something there may print without an end.",
        )
