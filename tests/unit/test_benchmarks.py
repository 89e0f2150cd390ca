import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench import LARGE, SHORT
from benchmarks.compare import judge, make_contender
from benchmarks.peers import Link as PeerLink
from benchmarks.peers import Rsync, Session, WarmHsm
from benchmarks.proxy import Lane, Link, ProxyProcess
from benchmarks.report import LIST_COLD, Goal, find_ratio, make_goals, make_page, merge_parts
from benchmarks.workloads import (
    SWEEP,
    append_record,
    change_runs,
    iter_differences,
    list_runs,
    make_workloads,
    measure_project,
)
from benchmarks.workloads import write_project as write_workload
from hsm.wandb_log.facts import read_log
from hsm.wandb_log.format import parse_records
from hsm.wandb_log.media import read_versions
from tests.unit.wandb_log import log_writer as log


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that says back what it hears, until the other end closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            while chunk := client.recv(65536):
                client.sendall(chunk)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(10)
    listener.close()


def test_proxy_takes_a_round_trip_and_changes_nothing(echo_port: int) -> None:
    with (
        ProxyProcess(echo_port, round_trip_ms=50) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client,
    ):
        client.sendall(b"?")
        assert client.recv(10) == b"?"
        begin = time.monotonic()
        client.sendall(b"!")
        assert client.recv(10) == b"!"
        assert time.monotonic() - begin >= 0.05
        sent = bytes(range(256)) * 4096
        writer = threading.Thread(target=client.sendall, args=(sent,))
        writer.start()
        got = b""
        while len(got) < len(sent):
            got += client.recv(1 << 20)
        writer.join()
        client.shutdown(socket.SHUT_WR)
        assert (got, client.recv(10)) == (sent, b"")


@pytest.mark.parametrize(
    ("link", "chunks", "arrivals"),
    [
        pytest.param(Link(0.02), [(1000, 5.0), (1000, 5.0)], [5.02, 5.02], id="delay alone"),
        pytest.param(Link(0.0, 1000), [(500, 5.0), (500, 5.0)], [5.5, 6.0], id="rate alone, one behind the other"),
        pytest.param(Link(0.02, 1000), [(500, 5.0), (500, 7.0)], [5.52, 7.52], id="both, free again in between"),
    ],
)
def test_lane_says_when_bytes_arrive(link: Link, chunks: list[tuple[int, float]], arrivals: list[float]) -> None:
    lane = Lane(link)
    assert [lane.find_arrival(*chunk) for chunk in chunks] == pytest.approx(arrivals)


STEP: dict[str, Any] = {
    "text": "A, 40 ms: first sync",
    "seconds": {"HSM cold": [3.0, 1.0, 2.0], "rsync -aR": [4.0, 3.0, 9.0, 5.0]},
    "peaks": {"HSM cold": [50_000_000, 7_000_000]},
    "sizes": {"HSM cold": 8_000_000},
    "notes": ["100 runs"],
}


def test_ratio_is_that_of_the_medians() -> None:
    goal = Goal("first sync", "A/40 ms/first", "HSM cold", "rsync -aR", 0.8)
    assert find_ratio(goal, {"A/40 ms/first": STEP}) == pytest.approx(2.0 / 4.5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"adds_seconds": 0.5}, 2.0 / 5.0, id="with seconds added"),
        pytest.param({"reference": "tar over ssh"}, None, id="a side that was not measured"),
        pytest.param({"reference_step": "B/40 ms/first"}, None, id="a step that was not measured"),
        pytest.param({"reference": "HSM cold", "measure": "peaks"}, 1.0, id="of memory"),
        pytest.param({"reference": ""}, 2.0, id="seconds alone"),
        pytest.param({"reference": "", "measure": "peaks"}, 50_000_000, id="bytes of memory alone"),
        pytest.param({"reference": "", "measure": "sizes"}, 8_000_000, id="bytes of what was written"),
    ],
)
def test_ratio_of_other_goals(changes: dict[str, Any], expected: float | None) -> None:
    fields = {"step": "A/40 ms/first", "contender": "HSM cold", "reference": "rsync -aR", "limit": 0.8, **changes}
    found = find_ratio(Goal("", **fields), {"A/40 ms/first": STEP})
    assert found == (expected if expected is None else pytest.approx(expected))


def test_page_tells_what_was_met_what_was_missed_and_what_is_not_known() -> None:
    slow = {**STEP, "seconds": {"HSM cold": [4.0], "rsync -aR": [2.0]}}
    listed = {"text": "D: list", "seconds": {LIST_COLD: [2.0]}}
    steps = {"A/40 ms/first": STEP, "A/0 ms/first": slow, "A/0 ms/first/pull": STEP, "D/-/list": listed}
    steps["D/40 ms/first"] = {**STEP, "seconds": {}}
    page = make_page(steps, {"date": "2026-01-02"})
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    rows = {cells[0]: cells[1:] for cells in table}
    assert rows["first sync, A, 40 ms"] == ["<= 0.65", "0.44", "met"]
    assert rows["first sync, A, 0 ms"] == ["<= 1.1", "2.00", "**missed**"]
    assert rows["first sync, A, 0 ms, pull"] == ["<= 1.1", "0.44", "met"]
    assert rows["first sync, C, 100 ms"] == ["<= 0.33", "", "not measured"]
    assert rows["first sync, D, 40 ms: peak memory"] == ["<= 250 MB", "50 MB", "met"]
    assert rows["`list --sweeps`, 10,000 runs, cold"] == ["<= 2.5 s", "2.00 s", "met"]
    assert "- date: 2026-01-02" in page
    assert "| HSM cold  |  2.000 | 1.00 to 3.00 |      3 |  0.44 |" in page


def test_page_says_every_goal_in_a_row_of_its_own() -> None:
    texts = [goal.text for goal in make_goals()]
    assert len(texts) == len(set(texts))
    assert [text for text in texts if f"| {text} " not in make_page({}, {})] == []


def test_every_goal_is_measured_by_a_step_in_which_its_contenders_take_part() -> None:
    taking_part: dict[str, set[str]] = {"-/-/start": {"hsm --version", "python -c 'import typer'"}}
    watched: dict[str, set[str]] = {}
    for step in (*SHORT, *LARGE):
        key = step.key.partition("+")[0]
        taking_part.setdefault(key, set()).update(kind.name for kind, _ in step.field)
        watched.setdefault(key, set()).update(kind.name for kind in step.peaks)
    for goal in make_goals():
        sides = [(goal.step, goal.contender), (goal.reference_step or goal.step, goal.reference or goal.contender)]
        found = watched if goal.measure == "peaks" else taking_part
        assert [name for key, name in sides if name not in found.get(key, ())] == [], goal.text


def test_a_step_finds_the_targets_of_all_who_take_part_filled() -> None:
    for steps in (SHORT, LARGE):
        filled: set[tuple[str, ...]] = set()
        for step in steps:
            kinds = {kind for kind, _ in step.field} | set(step.peaks)
            targets = {(step.workload, step.link, str(step.pulls), kind.name) for kind in kinds if kind is not Session}
            if step.case in ("nothing", "changed", "append") and step.part not in ("per run", "rclone"):
                assert targets <= filled, step.key
            filled |= targets


@pytest.mark.parametrize("pulls", [False, True])
def test_a_pull_runs_where_the_files_go_and_a_push_where_they_are(tmp_path: Path, *, pulls: bool) -> None:
    link = PeerLink("40 ms", ("far", "far-two"), tmp_path / "config", tmp_path / "master")
    workload = make_workloads(0.01)["A"]
    project, folder = tmp_path / "project", tmp_path / "targets"
    rsync, hsm = (kind(workload, project, folder, link, pulls=pulls) for kind in (Rsync, WarmHsm))
    ends = rsync.make_command().argv[4:]
    if pulls:
        assert ends == [f"far:{project}/./sweeps/outputs/{SWEEP}", f":{project}/./wandb", f"{rsync.target}/"]
    else:
        assert ends == [f"sweeps/outputs/{SWEEP}", "wandb", f"far:{rsync.target}/"]
    command = hsm.make_command()
    assert command.folder == (hsm.target if pulls else project)
    assert command.argv[2:5] == ["from" if pulls else "to", SWEEP, "-t"]
    there = project if pulls else hsm.target
    assert hsm.make_section(hsm.target.name)["paths"] == {"sweeps": f"{there}/sweeps", "wandb": f"{there}/wandb"}


def test_parts_of_a_step_fill_one_table() -> None:
    first = {**STEP, "seconds": {"HSM cold": [3.0]}, "notes": ["100 runs"]}
    second = {**STEP, "seconds": {"HSM cold": [1.0], "rclone": [9.0]}, "peaks": {}, "notes": ["100 runs", "late"]}
    merged = merge_parts({"A/40 ms/make": {}, "A/40 ms/first": first, "A/40 ms/first+rclone": second})
    assert list(merged) == ["A/40 ms/first"]
    assert merged["A/40 ms/first"]["seconds"] == {"HSM cold": [3.0, 1.0], "rclone": [9.0]}
    assert merged["A/40 ms/first"]["notes"] == ["100 runs", "late"]
    assert json.loads(json.dumps(merged)) == merged


def test_workload_is_a_sweep_that_hsm_understands(tmp_path: Path) -> None:
    write_workload(tmp_path, make_workloads(0.01)["A"])
    runs = list_runs(tmp_path)
    assert [len([path for path in run.rglob("*") if path.is_file()]) for run in runs] == [15] * 4
    for run in runs:
        content = next(run.glob("*.wandb")).read_bytes()
        facts = read_log(log.cut(content))
        assert (facts.group, facts.exit_code) == (SWEEP, 0)
        assert len(read_versions(content).versions.named) == 3


@pytest.mark.parametrize(
    ("letter", "n_files"), [pytest.param("L", 15, id="runs in no sweep"), pytest.param("H", 19, id="jobs of Hydra")]
)
def test_workload_of_another_kind_has_all_its_files(tmp_path: Path, letter: str, n_files: int) -> None:
    workload = make_workloads(0.01)[letter]
    write_workload(tmp_path, workload)
    assert len(list_runs(tmp_path)) == 4
    assert measure_project(tmp_path)[0] == 4 * n_files + (letter == "H")


def test_workload_is_written_once_and_changed_in_turns(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    workload = make_workloads(0.01)["A"]
    write_workload(source, workload)
    write_workload(copy, workload)
    assert list(iter_differences(source, copy)) == []
    assert change_runs(source, fraction=0.05, turn=1) == 1
    changed = {name.split()[0].split("/")[1] for name in iter_differences(source, copy)}
    assert changed == {list_runs(source)[1].name}
    assert len(list(iter_differences(source, copy))) == 4
    write_workload(source, workload)
    assert len(list(iter_differences(source, copy))) == 4


@pytest.mark.parametrize("n_bytes", [1, 32_700, 32_754, 32_755, 32_760, 70_000])
def test_appended_record_is_read_as_one_more(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "run-abc.wandb"
    path.write_bytes(log.frame([log.run("abc"), log.field(13, bytes(n_bytes))]))
    append_record(path, b"\x6a\x01x" * 20_000)
    found = parse_records(path.read_bytes())
    assert not found.is_damaged
    assert list(found.payloads)[2:] == [b"\x6a\x01x" * 20_000]


@pytest.mark.parametrize(
    ("before", "after", "ratio", "verdict"),
    [
        pytest.param([1.0, 1.0, 1.0, 1.0], [1.2, 1.2, 1.2, 1.2], 1.2, "slower", id="apart, and by much"),
        pytest.param([1.0, 1.0, 1.0, 1.0], [0.8, 0.8, 0.8, 0.8], 0.8, "faster", id="apart, the other way"),
        pytest.param([1.0, 1.0, 1.0, 1.0], [1.04, 1.04, 1.04, 1.04], 1.04, "the same", id="apart, by little"),
        pytest.param([0.5, 0.9, 1.1, 2.0], [0.7, 1.1, 1.3, 1.9], 1.2, "the same", id="by much, not apart"),
    ],
)
def test_one_is_slower_where_the_quartiles_part_and_the_medians_differ(
    before: list[float], after: list[float], ratio: float, verdict: str
) -> None:
    found, words = judge(before, after)
    assert (round(found, 6), words) == (ratio, verdict)


def test_two_checkouts_have_targets_of_their_own() -> None:
    one, two = (make_contender(WarmHsm, Path(f"/{label}/hsm"), label) for label in ("before", "after"))
    assert (one.name, two.name) == ("HSM warm, before", "HSM warm, after")
    assert (one.program, one.is_warm) == (Path("/before/hsm"), True)
