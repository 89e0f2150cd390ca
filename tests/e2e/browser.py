"""A headless Chromium, driven over a pipe with its DevTools protocol; notes what a page complains of and asks for."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--remote-debugging-pipe",
    "--window-size=1400,1000",
)
_SECONDS = 60
_DRIVER = "GL Driver Message"
"""So begin remarks of the graphics driver on its own speed, which is no concern of a page's."""


def find_browser() -> str | None:
    """The program's path, if there is one."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Browser:
    """One browser with one page.

    Attributes:
        complaints: What the page wrote to the console at level warning and error, exceptions, and what the page's
            policy refused.
        requests: The addresses that the page asked for, the page itself first.
    """

    def __init__(self, program: str, profile: Path) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._number = 0
        self._unread = b""
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        script = f'exec "$@" 3<&{read_commands} 4>&{write_answers}'
        argv = ["bash", "-c", script, "browser", program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(read_commands, write_answers),
            start_new_session=True,
        )
        os.close(read_commands)
        os.close(write_answers)
        self._session = ""
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._commands)  # the browser ends with it
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        os.close(self._answers)

    def open(self, path: Path) -> None:
        """Open a file, and wait until the page's script has drawn it."""
        self.complaints.clear()
        self.requests.clear()
        self._call("Page.navigate", url=path.as_uri())
        self.wait("document.body && document.body.dataset.ready === 'yes'")

    def run(self, expression: str) -> Any:
        """Evaluate JavaScript in the page, and return its value."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        give_up = time.monotonic() + _SECONDS
        while not self.run(expression):
            if time.monotonic() > give_up:
                raise AssertionError(f"it never came true: {expression}; {self.complaints}")
            time.sleep(0.05)

    def save_picture(self, path: Path, *, selector: str = "") -> None:
        """Save a picture of the window, or of one element with what lies beyond the window."""
        clip = {}
        if selector:
            box = self.run(
                f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                " return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, scale: 1}; })()"
            )
            clip = {"clip": box, "captureBeyondViewport": True}
        answer = self._call("Page.captureScreenshot", format="png", **clip)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer.get("method", ""), answer.get("params", {}))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise AssertionError("the browser has ended")
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def _note(self, event: str, content: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(content["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(content["args"]))
        elif event == "Log.entryAdded" and content["entry"]["level"] in ("error", "warning"):
            if _DRIVER not in content["entry"]["text"]:
                self.complaints.append(content["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(content["request"]["url"])
