"""The reader of task records, run by real shells: `bash` of PATH, and those that HSM_TEST_BASH names besides."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hsm.prepared_sweep.folder import PreparedFolder
from hsm.prepared_sweep.records import INDEX_LINE_BYTES, Filling, TaskRecord, encode_index, encode_record
from hsm.prepared_sweep.shell import TASK_READER

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of other versions, such as the 3.2 of macOS: paths, with `:` between them.
BASHES = [
    path
    for path in (shutil.which("bash"), *os.environ.get("HSM_TEST_BASH", "").split(os.pathsep))
    if path and Path(path).exists()
]
NASTY = [
    "",
    " ",
    "a b",
    "it's",
    'say "hi"',
    "$(id)",
    "`id`",
    "${HOME}",
    "%j",
    "back\\slash\\",
    "line\nbreak\n",
    "\n",
    "\t",
    "*",
    "~",
    "-n",
    "--",
    "!!",
    "ü€😀",
    "\x01\x7f\x1b",
    "L",
    "t",
    "a=b,c",
]

SCRIPT = f"""
set -eu -o pipefail
{TASK_READER}
IFS=x:0  # a caller's own must not count
hsm_read_task "$1" "$2" "$3" "$4" || exit 9
printf '%s\\0' "$HSM_TASK_DIR" "$HSM_PARAMETERS" "$hsm_parameters" "${{hsm_words[@]}}"
"""

pytestmark = pytest.mark.skipif(not BASHES, reason="there is no bash")


def write_records(folder: Path, records: Sequence[TaskRecord]) -> PreparedFolder:
    prepared = PreparedFolder(folder)
    prepared.own.mkdir(parents=True)
    encoded = [encode_record(record) for record in records]
    prepared.records(1).write_bytes(b"".join(encoded))
    prepared.index.write_bytes(encode_index(1, map(len, encoded)))
    return prepared


def read(bash: str, prepared: PreparedFolder, number: int, **variables: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [bash, "-c", SCRIPT, "job", prepared.folder, str(number), "/code x", "/py thon"],
        capture_output=True,
        env={**os.environ, **variables},
        check=False,
        timeout=20,
    )
    return done.returncode, done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@pytest.mark.parametrize("bash", BASHES)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_every_word_arrives_as_it_was_written(tmp_path: Path, bash: str, locale: str) -> None:
    record = TaskRecord(('{"a": 1}\n',), ((Filling.PYTHON,), *((word,) for word in NASTY)))
    prepared = write_records(tmp_path / "a sweep", [record])

    code, words = read(bash, prepared, 1, LC_ALL=locale)

    folder = f"{prepared.folder}/tasks/task_1"
    assert (code, words) == (0, [folder, f"{folder}/parameters.json", '{"a": 1}\n', "/py thon", *NASTY])


@pytest.mark.parametrize("bash", BASHES)
def test_places_are_filled_in_within_words(tmp_path: Path, bash: str) -> None:
    word = ("output.dir='", Filling.TASK, "'")
    record = TaskRecord(("{}\n",), (("x",), word, (Filling.CODE, "/train.py"), (Filling.PARAMETERS,), (Filling.TASK,)))
    prepared = write_records(tmp_path, [record])

    _, (folder, parameters, _, *words) = read(bash, prepared, 1)

    assert words == ["x", f"output.dir='{folder}'", "/code x/train.py", parameters, folder]


@pytest.mark.parametrize("bash", BASHES)
def test_each_task_has_its_own_record(tmp_path: Path, bash: str) -> None:
    records = [TaskRecord((f"{n}\n",), (("run",), (f"n={n}" * n,))) for n in range(1, 101)]
    prepared = write_records(tmp_path, records)

    for number in (1, 2, 10, 99, 100):
        assert read(bash, prepared, number)[1][2:] == [f"{number}\n", "run", f"n={number}" * number]
    assert read(bash, prepared, 101)[0] == 9


@pytest.mark.parametrize("bash", BASHES)
@pytest.mark.parametrize("lost", ["index", "tasks-1", "half", "shorter", "words"])
def test_a_record_that_is_not_whole_is_refused(tmp_path: Path, bash: str, lost: str) -> None:
    prepared = write_records(tmp_path, [TaskRecord(("{}\n",), (("run",), ("a=1",)))])
    content = prepared.records(1).read_bytes()
    if lost == "index":
        prepared.index.write_bytes(b"\0" * INDEX_LINE_BYTES)
    elif lost == "words":
        prepared.index.write_bytes(b"1 0 four * ".ljust(INDEX_LINE_BYTES))
    elif lost == "tasks-1":
        prepared.records(1).unlink()
    else:
        prepared.records(1).write_bytes(content[:-1] if lost == "half" else content[:-6])

    assert read(bash, prepared, 1) == (9, [])
