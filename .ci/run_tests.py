"""Runs tests; those that fail, at most five, are run once more, alone and one after the other.

    python .ci/run_tests.py [PREFIX...] -- PYTEST...

PREFIX is a command that runs another, such as `.ci/as-user`; PYTEST are arguments of pytest. One of eight thousand
tests that waited too little on a busy machine refuses no change. Which ones passed only at their second try is said,
so that somebody mends them: it is a defect of a test, or a race in HSM.

Ends with 0 if all passed, each at its first or second try, else as pytest did.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_AGAIN = 5
FAILED = 1
"""Pytest's exit code where tests failed, and nothing else did."""

ALONE = ("-n", "0", "-p", "no:randomly", "--last-failed", "--last-failed-no-failures=none")


def main() -> int:
    """Run the tests once or twice."""
    split = sys.argv.index("--")
    prefix, arguments = sys.argv[1:split], sys.argv[split + 1 :]
    with tempfile.TemporaryDirectory(prefix="hsm-tests-") as folder:
        Path(folder).chmod(0o777)  # whoever PREFIX is writes there
        cache = f"{folder}/cache"
        argv = [*prefix, sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]
        status = subprocess.run(argv, check=False).returncode
        failed = read_failed(cache)
        if status != FAILED or not 0 < len(failed) <= MAX_AGAIN:
            return status
        say(f"Once more, alone: {len(failed)} that failed.")
        status = subprocess.run([*argv, *ALONE], check=False).returncode
        for test in sorted(failed - read_failed(cache)):
            say(f"flaky: {test} passed only at its second try")
    return status


def read_failed(cache: str) -> set[str]:
    """Read which tests failed last; pytest has no such file where none ever did."""
    try:
        return set(json.loads(Path(cache, "v/cache/lastfailed").read_bytes()))
    except FileNotFoundError:
        return set()


def say(words: str) -> None:
    """Print a line that is seen in a long log."""
    sys.stdout.write(f"\n=== {words} ===\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
