"""Remote endpoint beside its contract: without sshd, with /bin/sh of this machine as the shell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.endpoint import Endpoint, Tree
from hsm.errors import TargetError
from hsm.model import EntryKind
from hsm.process.runner import Completed, Runner
from hsm.remote.local import LocalEndpoint
from hsm.remote.shell_programs.endpoint import BLOCK_BYTES, RemoteEndpoint

BUSYBOX = ("find", "stat", "xargs", "head", "tail", "df", "wc", "cat")


class ShellHere:
    """Implements `hsm.remote.shell.RemoteShell` with /bin/sh of this machine."""

    name = "desktop"

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self.prefix = prefix
        self.n_runs = 0

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        self.n_runs += 1
        return Runner().run([*self.prefix, "/bin/sh", "-c", program], stdin=stdin, timeout_seconds=60)


@pytest.fixture
def with_programs(tmp_path: Path) -> Callable[[dict[str, str]], RemoteEndpoint]:
    """Return a function that makes an endpoint where some programs are other ones."""

    def make(programs: dict[str, str]) -> RemoteEndpoint:
        folder = tmp_path / "programs"
        folder.mkdir()
        for name, script in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return RemoteEndpoint(ShellHere(("env", f"PATH={folder}:/usr/local/bin:/usr/bin:/bin")))

    return make


@pytest.fixture
def busybox(
    require_program: Callable[..., None], with_programs: Callable[[dict[str, str]], RemoteEndpoint]
) -> RemoteEndpoint:
    """Return an endpoint whose `find` has no `-printf`."""
    require_program("busybox")
    return with_programs({name: f'exec busybox {name} "$@"' for name in BUSYBOX})


@contextmanager
def as_owner_only(folder: Path, mode: int) -> Iterator[tuple[str, ...]]:
    """Give a folder a mode, and a prefix of commands with which it also binds the superuser."""
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        without = "-dac_override,-dac_read_search"
        prefix = ("setpriv", f"--bounding-set={without}", f"--inh-caps={without}")
    folder.chmod(mode)
    try:
        yield prefix
    finally:
        folder.chmod(0o700)


def test_many_links_are_followed_also_where_they_take_several_calls(busybox: RemoteEndpoint, tmp_path: Path) -> None:
    names = [f"{number:04}-{'x' * 240}" for number in range(400)]
    (tmp_path / "links").mkdir()
    for name in names:
        (tmp_path / "links" / name).symlink_to("../file")
    (tmp_path / "file").write_text("content")
    tree = Tree(str(tmp_path / "links"), tuple(names), max_depth=0, follow=True)
    entries = {entry.path: entry for entry in busybox.survey([tree]).listings[0].entries}
    assert entries.keys() == set(names)
    assert all(entry.kind is EntryKind.SYMLINK for entry in entries.values())
    assert all(entry.followed is not None and entry.followed.size == 7 for entry in entries.values())


@pytest.mark.parametrize("kind", ["local", "gnu", "busybox"])
def test_links_that_lead_in_a_circle_are_no_problem(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    endpoint: Endpoint
    if kind == "local":
        endpoint = LocalEndpoint()
    else:
        endpoint = RemoteEndpoint(ShellHere()) if kind == "gnu" else request.getfixturevalue("busybox")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/loop").symlink_to("loop")
    (tmp_path / "links/nowhere").symlink_to("no/such")
    (listing,) = endpoint.survey([Tree(str(tmp_path / "links"), follow=True)]).listings
    assert {(entry.path, entry.followed) for entry in listing.entries} == {
        ("", None),
        ("loop", None),
        ("nowhere", None),
    }
    assert listing.problems == ()


@pytest.mark.parametrize(
    ("mode", "names", "expected"),
    [
        pytest.param(0o300, ("",), [""], id="a base that cannot be read"),
        pytest.param(0o600, ("",), [""], id="a base that cannot be entered"),
        pytest.param(0o000, ("a",), [""], id="a base that cannot be used at all"),
    ],
)
def test_a_forbidden_base_is_a_problem(mode: int, names: tuple[str, ...], expected: list[str], tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "a").mkdir(parents=True)
    with as_owner_only(base, mode) as prefix:
        (listing,) = RemoteEndpoint(ShellHere(prefix)).survey([Tree(str(base), names)]).listings
    assert (listing.base, listing.kind) == (str(base), EntryKind.FOLDER)
    assert [problem.path for problem in listing.problems] == expected


def test_a_forbidden_folder_is_a_problem_and_the_rest_is_listed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "base" / name).mkdir(parents=True)
        (tmp_path / "base" / name / "file").touch()
    with as_owner_only(tmp_path / "base/a", 0) as prefix:
        tree = Tree(str(tmp_path / "base"))
        (listing,) = RemoteEndpoint(ShellHere(prefix)).survey([tree]).listings
    assert [problem.path for problem in listing.problems] == ["a"]
    assert {entry.path for entry in listing.entries} == {"", "a", "b", "b/file"}


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
def test_a_file_that_may_not_be_looked_at_is_a_problem(
    kind: str, tmp_path: Path, require_program: Callable[..., None]
) -> None:
    (tmp_path / "base/a").mkdir(parents=True)
    (tmp_path / "base/a/file").touch()
    with as_owner_only(tmp_path / "base/a", 0o600) as prefix:
        programs = {}
        if kind == "busybox":
            require_program("busybox")
            for name in BUSYBOX:
                program = tmp_path / "programs" / name
                program.parent.mkdir(exist_ok=True)
                program.write_text(f'#!/bin/sh\nexec busybox {name} "$@"\n')
                program.chmod(0o755)
            programs = {"PATH": f"{tmp_path}/programs:{os.environ['PATH']}"}
        shell = ShellHere((*prefix, "env", *(f"{name}={value}" for name, value in programs.items())))
        (listing,) = RemoteEndpoint(shell).survey([Tree(str(tmp_path / "base"))]).listings
    assert [problem.path for problem in listing.problems] == ["a/file"]


def test_the_same_tree_may_be_asked_for_twice_and_none_at_all(tmp_path: Path) -> None:
    endpoint = RemoteEndpoint(ShellHere())
    tree = Tree(str(tmp_path))
    one, other, equal = endpoint.survey([tree, tree, replace(tree)]).listings
    assert one.entries == other.entries == equal.entries != ()
    survey = endpoint.survey([])
    assert (survey.listings, survey.machine.home) == ((), os.environ["HOME"])


def test_very_many_starting_points_of_two_trees_take_two_sessions(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "here").mkdir(parents=True)
    missing = tuple(f"missing-{number:05}" for number in range(5000))
    shell = ShellHere()
    trees = [Tree(str(tmp_path / name), (*missing, "here"), 0) for name in ("a", "b")]
    survey = RemoteEndpoint(shell).survey([*trees, Tree(str(tmp_path / "c"), ("here",), 0)])
    assert [[entry.path for entry in listing.entries] for listing in survey.listings] == [["here"]] * 3
    assert [listing.base for listing in survey.listings] == [str(tmp_path / name) for name in ("a", "b", "c")]
    assert shell.n_runs == 2


def test_output_of_another_program_is_an_error_that_says_so() -> None:
    class Refusing(ShellHere):
        def run(self, program: str, *, stdin: bytes = b"") -> Completed:  # noqa: ARG002 - as in the protocol
            return Completed(0, b"This account is not available.", b"sorry")

    with pytest.raises(TargetError) as caught:
        RemoteEndpoint(Refusing()).survey([Tree("/")])
    assert caught.value.kind == "bad_listing"
    assert "sorry" in caught.value.detail


def test_a_file_that_shrinks_while_it_is_read_is_skipped(
    with_programs: Callable[[dict[str, str]], RemoteEndpoint], tmp_path: Path
) -> None:
    # `wc` says what the size was before the file became shorter.
    real = shutil.which("wc")
    wc = f'n=$({real} "$@"); if [ $((n)) -eq 70000 ]; then echo 90000; else echo $n; fi'
    endpoint = with_programs({"find": "exit 1", "wc": wc})
    sizes = {"before": 10, "cut": 70000, "after": 5 * BLOCK_BYTES}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(os.urandom(size))
    found = list(endpoint.read_ends([str(tmp_path / name) for name in sizes], n_blocks=1))
    assert [Path(ends.path).name for ends in found] == ["before", "after"]
    content = (tmp_path / "after").read_bytes()
    assert (found[1].head, found[1].tail) == (content[:BLOCK_BYTES], content[-BLOCK_BYTES:])


def test_a_file_that_vanishes_while_it_is_read_is_skipped(
    with_programs: Callable[[dict[str, str]], RemoteEndpoint], tmp_path: Path
) -> None:
    endpoint = with_programs({"find": "exit 1", "wc": f'{shutil.which("wc")} "$@" | grep -v "^ *5$"'})
    for name in ("five!", "longer"):
        (tmp_path / name).write_text(name)
    found = list(endpoint.read_ends([str(tmp_path / name) for name in ("five!", "longer")], n_blocks=1))
    assert [(Path(ends.path).name, ends.head, ends.tail) for ends in found] == [("longer", b"longer", b"longer")]


def test_nothing_to_do_starts_no_session() -> None:
    shell = ShellHere()
    endpoint = RemoteEndpoint(shell)
    assert list(endpoint.read_ends([], n_blocks=2)) == []
    assert shell.n_runs == 0


@pytest.mark.parametrize("name", ["it's", "-n", "$(x)", "a\nb", "\udcff"])
def test_files_of_any_name_are_read(name: str, tmp_path: Path) -> None:
    path = f"{tmp_path}/{name}"
    Path(path).write_bytes(b"no newline y")
    endpoint = RemoteEndpoint(ShellHere())
    assert endpoint.read_file(path) == b"no newline y"
    (ends,) = endpoint.read_ends([path], n_blocks=1)
    assert (ends.path, ends.head) == (path, b"no newline y")


@pytest.mark.parametrize("path", ["missing", ""])
def test_a_folder_or_a_missing_file_cannot_be_read(path: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RemoteEndpoint(ShellHere()).read_file(f"{tmp_path}/{path}")
