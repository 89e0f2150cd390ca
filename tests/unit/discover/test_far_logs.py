"""Logs of a far endpoint: one session for all of them, small heads where there are many, and none known is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.kinds.claims import RunClaims
from hsm.discover.membership import Candidate
from hsm.discover.parts import cut_by_bytes
from hsm.discover.run_logs import read_facts
from hsm.discover.wandb_runs import read_members
from hsm.endpoint import FileEnds
from hsm.remote.local import LocalEndpoint
from tests.unit.wandb_log import log_writer as w

SWEEP = "sweep_20251020_212836"
OTHER = "sweep_20251021_090000"
LARGE = 12_000_000
"""Bytes of a log; three of them are more than are read whole."""


class FarEndpoint(LocalEndpoint):
    """Endpoint that says it is far, and counts the bytes that come from it."""

    is_remote = True

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.n_bytes = 0

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        self.calls.append(list(paths))
        for ends in super().read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes):
            self.n_bytes += len(ends.head) + len(ends.tail)
            yield ends


def write_run(
    folder: Path, run_id: str, *, group: str = "", filling: int = 0, args: list[str] | None = None
) -> Candidate:
    name = f"run-20251020_212836-{run_id}"
    path = folder / name / f"run-{run_id}.wandb"
    (folder / name / "files").mkdir(parents=True)
    rows = [w.history({"text": "x" * filling}, 1)] if filling else []
    path.write_bytes(w.frame([w.run(run_id, group=group), *rows, w.exit_code(0)]))
    if args is not None:
        (folder / name / "files/wandb-metadata.json").write_text(json.dumps({"args": args}))
    state = path.stat()
    return Candidate(name, str(folder), path.name, state.st_size, state.st_mtime_ns)


def test_all_logs_and_their_metadata_come_in_one_session(tmp_path: Path) -> None:
    named = [write_run(tmp_path, f"a{number}", group=SWEEP) for number in range(20)]
    silent = write_run(tmp_path, "s", args=[f"wandb.group={SWEEP}"])
    far, index = FarEndpoint(), RunIndex()
    members, _ = read_members(far, [*named, silent], claims=RunClaims(SWEEP, known={SWEEP}), index=index, now_ns=0)
    assert (len(members), len(far.calls)) == (21, 1)
    read_members(far, [*named, silent], claims=RunClaims(SWEEP, known={SWEEP}), index=index, now_ns=0)
    assert len(far.calls) == 1


@pytest.mark.slow
def test_of_many_large_logs_of_other_sweeps_only_small_heads_come(tmp_path: Path) -> None:
    mine = write_run(tmp_path, "mine", group=SWEEP, filling=LARGE)
    silent = write_run(tmp_path, "silent", filling=LARGE)
    others = [write_run(tmp_path, f"o{number}", group=OTHER, filling=LARGE) for number in range(5)]
    far, index = FarEndpoint(), RunIndex()
    known = {SWEEP, OTHER}
    members, _ = read_members(far, [mine, silent, *others], claims=RunClaims(SWEEP, known=known), index=index, now_ns=0)
    assert [member.candidate.name for member in members] == [mine.name]
    assert (members[0].facts.exit_code, members[0].facts.is_head) == (0, False)
    assert far.calls[1:] == [[mine.log_path], [silent.log_path]]
    assert far.n_bytes < 7 * 8192 + 4 * 65536 + 1
    read_members(far, [mine, silent, *others], claims=RunClaims(SWEEP, known=known), index=index, now_ns=0)
    assert len(far.calls) == 3


def test_of_many_large_logs_of_the_sweep_a_small_head_and_the_last_block_come(tmp_path: Path) -> None:
    mine = [write_run(tmp_path, f"a{number}", group=SWEEP, filling=LARGE) for number in range(3)]
    far = FarEndpoint()
    members, _ = read_members(far, mine, claims=RunClaims(SWEEP, known={SWEEP}), index=RunIndex(), now_ns=0)
    assert [(member.facts.exit_code, member.facts.is_head) for member in members] == [(0, False)] * 3
    assert far.n_bytes <= 3 * (2 * 8192 + 32768)


def test_the_ends_of_runs_known_by_their_heads_are_read_when_they_matter(tmp_path: Path) -> None:
    others = [write_run(tmp_path, f"o{number}", group=OTHER, filling=LARGE) for number in range(3)]
    far, index = FarEndpoint(), RunIndex()
    read_members(far, others, claims=RunClaims(SWEEP, known={SWEEP, OTHER}), index=index, now_ns=0)
    index = RunIndex(json.loads(json.dumps(index.make_document()))["logs"])
    members, _ = read_members(far, others, claims=RunClaims(OTHER, known={SWEEP, OTHER}), index=index, now_ns=0)
    assert [member.facts.exit_code for member in members] == [0, 0, 0]


def test_where_every_run_matters_a_head_and_the_last_block_do(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, f"o{number}", group=OTHER, filling=LARGE) for number in range(3)]
    silent = write_run(tmp_path, "silent", filling=LARGE)
    far = FarEndpoint()
    facts = read_facts(far, [*runs, silent], index=RunIndex())
    assert {found.exit_code for found in facts.values()} == {0}
    assert not any(found.is_head for found in facts.values())
    assert far.calls[1:] == [[silent.log_path]]


def test_what_is_read_at_once_is_cut_where_it_would_fill_the_memory() -> None:
    sizes = {"a": 4, "b": 6, "c": 1, "d": 20, "e": 1}
    parts = list(cut_by_bytes(sizes, lambda path: sizes[path], most_bytes=10))
    assert parts == [["a", "b"], ["c"], ["d"], ["e"]]
