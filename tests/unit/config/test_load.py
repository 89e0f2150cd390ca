import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.config.load import load_project_config, parse_document
from hsm.config.loaded import find_config, select_targets
from hsm.errors import ConfigError, UsageError

GOOD = """\
default_target: desktop
sync_targets:
  desktop:
    host: desktop
    paths: {sweeps: ~/sweeps, wandb: ~/wandb}
  backup:
    host: backup
    paths: {sweeps: /b/sweeps, wandb: /b/wandb}
"""
TARGET = "sync_targets:\n  d:\n    host: h\n    paths: {sweeps: ~/s, wandb: ~/w}\n"


def make_project(folder: Path, content: str | bytes = GOOD) -> Path:
    (folder / ".hsm").mkdir(parents=True)
    path = folder / ".hsm/sync_config.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problem_of(call: Callable[[], object], kind: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.kind == kind
    assert caught.value.hint
    assert not re.search(r"Input should|Value error|pydantic|type=|https?:", caught.value.message)
    return caught.value


def problems_of(text: str) -> list[str]:
    """The lines of the message below its first, each as `<line> <key>: <what>`."""
    head, *lines = problem_of(lambda: parse_document(text, "f.yaml"), "bad_config").message.splitlines()
    assert head == f"f.yaml has {len(lines)} problem{'s' if len(lines) > 1 else ''}:"
    return [re.sub(r"^  line (\d+) +", r"\1 ", line) for line in lines]


def catch_problem(text: str) -> ConfigError | None:
    try:
        parse_document(text, "f")
    except ConfigError as error:
        return error
    return None


class TestFind:
    def test_in_the_folder_itself(self, tmp_path: Path) -> None:
        path = make_project(tmp_path)
        assert find_config(tmp_path) == path

    def test_the_nearest_one_upwards(self, tmp_path: Path) -> None:
        make_project(tmp_path)
        inner = make_project(tmp_path / "a/b")
        start = tmp_path / "a/b/c/d"
        start.mkdir(parents=True)
        assert find_config(start) == inner

    def test_a_folder_of_hsm_without_a_configuration_is_passed(self, tmp_path: Path) -> None:
        outer = make_project(tmp_path)
        (tmp_path / "a/.hsm").mkdir(parents=True)
        assert find_config(tmp_path / "a") == outer

    def test_relative_start(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = make_project(tmp_path)
        (tmp_path / "a").mkdir()
        monkeypatch.chdir(tmp_path / "a")
        assert find_config(Path()) == path

    def test_none(self, tmp_path: Path) -> None:
        error = problem_of(lambda: find_config(tmp_path), "no_config")
        assert error.message.startswith("No sync configuration found")
        assert "hsm sync init" in error.hint


class TestRead:
    def test_what_is_loaded(self, tmp_path: Path) -> None:
        path = make_project(tmp_path)
        (tmp_path / "sub").mkdir()
        loaded = load_project_config(tmp_path / "sub")
        assert (loaded.path, loaded.project) == (path, tmp_path)
        assert list(loaded.config.sync_targets) == ["desktop", "backup"]

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        make_project(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())
        assert load_project_config(tmp_path).config.default_target == ("desktop",)

    def test_message_names_the_file_in_full_from_below(self, tmp_path: Path) -> None:
        path = make_project(tmp_path, "x: 1\n")
        (tmp_path / "sub").mkdir()
        assert problem_of(lambda: load_project_config(tmp_path), "bad_config").message.startswith(".hsm/sync_config")
        below = problem_of(lambda: load_project_config(tmp_path / "sub"), "bad_config")
        assert below.message.startswith(f"{path} has")

    @pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
    def test_empty(self, tmp_path: Path, text: str) -> None:
        make_project(tmp_path, text)
        error = problem_of(lambda: load_project_config(tmp_path), "bad_config")
        assert error.message == ".hsm/sync_config.yaml is empty"

    def test_not_utf8(self, tmp_path: Path) -> None:
        make_project(tmp_path, b"# one\n# caf\xe9\n")
        error = problem_of(lambda: load_project_config(tmp_path), "bad_config")
        assert error.message.endswith("line 2: byte 0xe9 is no UTF-8")

    def test_too_large(self, tmp_path: Path) -> None:
        make_project(tmp_path, "#" * 300_000)
        assert "larger than 256 KiB" in problem_of(lambda: load_project_config(tmp_path), "bad_config").message

    def test_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / ".hsm/sync_config.yaml").mkdir(parents=True)
        assert "is a folder" in problem_of(lambda: load_project_config(tmp_path), "bad_config").message

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        (tmp_path / ".hsm").mkdir()
        os.mkfifo(tmp_path / ".hsm/sync_config.yaml")
        assert "not a regular file" in problem_of(lambda: load_project_config(tmp_path), "bad_config").message

    def test_a_symlink_that_leads_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / ".hsm").mkdir()
        (tmp_path / ".hsm/sync_config.yaml").symlink_to("gone")
        assert "cannot be read: No such file" in problem_of(lambda: load_project_config(tmp_path), "bad_config").message

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    @pytest.mark.parametrize("locked", [".hsm", ".hsm/sync_config.yaml"])
    def test_no_permission(self, tmp_path: Path, locked: str) -> None:
        make_project(tmp_path)
        (tmp_path / locked).chmod(0)
        try:
            assert "Permission denied" in problem_of(lambda: load_project_config(tmp_path), "bad_config").message
        finally:
            (tmp_path / locked).chmod(0o700)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: b: c", "line 1, column 5: a second colon in one line", id="two colons"),
        pytest.param("a:\n\t- b", "line 2, column 1: a tab", id="tab"),
        pytest.param("a: [1\nb: 2", "line 1, column 4: the bracket that begins here is not closed", id="open bracket"),
        pytest.param("a: *nobody", r"line 1, column 4: \* at the beginning of a text", id="alias"),
        pytest.param("a: 1\n---\nb: 2", "line 2, column 1: .*single document", id="two documents"),
        pytest.param("a: 1\nb: \x01", r"line 2, column 4: the character '\\x01'", id="control character"),
        pytest.param("[" * 5000, "nested too deeply", id="too deep for the parser"),
    ],
)
def test_broken_yaml(text: str, expected: str) -> None:
    error = problem_of(lambda: parse_document(text, "f.yaml"), "bad_yaml")
    assert re.match(rf"f\.yaml: {expected}", error.message)


@pytest.mark.parametrize(("text", "found"), [("- a\n- b\n", "a list"), ("just text", "'just text'"), ("5", "number 5")])
def test_no_mapping_at_the_top(text: str, found: str) -> None:
    message = problem_of(lambda: parse_document(text, "f.yaml"), "bad_config").message
    assert f"{found}, allowed: the keys " in message
    assert "sync_targets" in message


def test_all_problems_at_once_by_line() -> None:
    text = """\
default_target: [desktop, laptop]
sync_targets:
  desktop:
    host: a/b
    port: "22x"
    paths:
      sweeps: /
    options:
      parallel_transfer: 4
      parallel_transfers: 100
    latest_only: true
  bad name:
    host: h
    paths: 5
colour: red
"""
    lines = [line.split("; allowed")[0].split(", allowed")[0] for line in problems_of(text)]
    assert lines == [
        "1 default_target: no target is named laptop; there are: desktop, bad name",
        "4 sync_targets.desktop.host: 'a/b' has a slash",
        "5 sync_targets.desktop.port: found '22x'",
        "6 sync_targets.desktop.paths.wandb: is missing",
        "7 sync_targets.desktop.paths.sweeps: '/' is the root of the file system",
        "9 sync_targets.desktop.options.parallel_transfer: unknown, did you mean parallel_transfers?",
        "10 sync_targets.desktop.options.parallel_transfers: found the number 100",
        "11 sync_targets.desktop.latest_only: unknown here, it belongs into options",
        "12 sync_targets.bad name: cannot name a target",
        "14 sync_targets.bad name.paths: found the number 5",
        "15 colour: unknown",
    ]


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        pytest.param("    port: ssh", ["5 {d}.port: found 'ssh', allowed: a whole number from 1 to 65535"], id="text"),
        pytest.param("    port: 022", ["5 {d}.port: found '022', allowed: a whole number from 1 to 65535"], id="octal"),
        pytest.param(
            "    port: 12:30", ["5 {d}.port: found '12:30', allowed: a whole number from 1 to 65535"], id="base 60"
        ),
        pytest.param(
            "    user: no",
            [
                "5 {d}.user: found no (which YAML reads as false), allowed: a login name; "
                'if it is meant as text, write "no"'
            ],
            id="no",
        ),
        pytest.param(
            "    user: 1234",
            ['5 {d}.user: found the number 1234, allowed: a login name; if it is meant as text, write "1234"'],
            id="number as a user",
        ),
        pytest.param(
            "  123:\n    host: h\n    paths: {sweeps: ~/s, wandb: ~/w}",
            ['5 sync_targets.123: found the number 123, allowed: text; write "123"'],
            id="number as a target",
        ),
        pytest.param(
            "  on:\n    host: h\n    paths: {sweeps: ~/s, wandb: ~/w}",
            ['5 sync_targets.on: found on (which YAML reads as true), allowed: text; write "on"'],
            id="boolean as a target",
        ),
        pytest.param(
            "    options: {exclude: ['*.a', 5]}",
            [
                "5 {d}.options.exclude[1]: found the number 5, allowed: a list of gitignore patterns, "
                'for example ["*.ckpt"]; if it is meant as text, write "5"'
            ],
            id="item of a list",
        ),
        pytest.param(
            "    options: {check_remote_first: maybe}",
            ["5 {d}.options.check_remote_first: found 'maybe', allowed: true or false"],
            id="no boolean",
        ),
        pytest.param(
            "    options: {max_depth: 0}",
            ["5 {d}.options.max_depth: found the number 0, allowed: a whole number from 1, or null for all depths"],
            id="too small",
        ),
        pytest.param(
            "    options: {latest_only: once}",
            ["5 {d}.options.latest_only: 'once' is neither of the three; allowed: true, false or uploaded"],
            id="none of several",
        ),
        pytest.param(
            "    ssh: {options: {ProxyCommand: nc}}",
            [
                "5 {d}.ssh.options.ProxyCommand: runs programs or reads other files; it belongs into your own "
                "~/.ssh/config; allowed: names of ssh_config(5), each with a text, a whole number, yes or no"
            ],
            id="ssh option",
        ),
        pytest.param(
            "    Paths: {}",
            ["5 {d}.Paths: unknown, did you mean paths?"],
            id="capital letter",
        ),
        pytest.param(
            "    host: other",
            ["5 {d}.host: is there twice, first in line 3"],
            id="duplicate key",
        ),
        pytest.param(
            "    ssh: &s {options: *s}",
            ["5 {d}.ssh.options: refers to itself"],
            id="alias to itself",
        ),
        pytest.param(
            "    user: !!python/object/apply:os.system [x]",
            [
                "5 {d}.user: the YAML tag tag:yaml.org,2002:python/object/apply:os.system is not allowed here; "
                "quote what is meant as text"
            ],
            id="unsafe tag",
        ),
        pytest.param("    ? [a]\n    : b", ["5 {d}: found a list as a key, allowed: text"], id="list as a key"),
        pytest.param(
            "    <<: 5", ["5 {d}.<<: found the number 5, allowed: an alias of a section"], id="merge of a number"
        ),
        pytest.param(
            '    "a\\nb": 1',
            [
                "5 {d}.'a\\nb': unknown, allowed: the keys host, node, user, port, engine, rsync_path, paths, ssh, "
                "secrets, options, after_sync"
            ],
            id="line break in a key",
        ),
    ],
)
def test_wording(addition: str, expected: list[str]) -> None:
    assert problems_of(f"{TARGET}{addition}\n") == [line.replace("{d}", "sync_targets.d") for line in expected]


def test_home_folder_as_a_path_is_what_yaml_calls_null() -> None:
    (line,) = problems_of("sync_targets: {d: {host: h, paths: {sweeps: ~, wandb: ~/w}}}")
    assert "sweeps: found ~ (which YAML reads as nothing), allowed: an absolute path" in line


def test_long_values_are_cut() -> None:
    (line,) = problems_of(f"{TARGET}    user: {'x' * 300} y\n")
    assert "xxx..." in line
    assert len(line) < 200


def test_many_problems_are_counted_and_the_first_are_shown() -> None:
    text = TARGET + "".join(f"k{number:03}: 1\n" for number in range(100))
    message = problem_of(lambda: parse_document(text, "f.yaml"), "bad_config").message
    assert message.startswith("f.yaml has 100 problems:")
    assert message.endswith("and 60 more")
    assert "line 5 " in message


@pytest.mark.parametrize(
    "section", ["    options:", "    ssh:", "    user:", "    options: {exclude: }", "source:", "default_target:"]
)
def test_what_is_left_empty_counts_as_absent(section: str) -> None:
    assert parse_document(f"{TARGET}{section}\n", "f")[0] == parse_document(TARGET, "f")[0]


def test_an_empty_target_misses_what_it_needs() -> None:
    lines = problems_of("sync_targets:\n  d:\n")
    assert [line.split(",")[0] for line in lines] == [
        "2 sync_targets.d.paths: is missing",
    ]


def test_values_keep_what_the_user_wrote() -> None:
    options = "{ServerAliveInterval: 15, Compression: yes, StreamLocalBindMask: 0177, IPQoS: none}"
    config, _ = parse_document(f"{TARGET}    ssh: {{options: {options}}}\n    user: 2020-01-01\n", "f")
    target = config.sync_targets["d"]
    assert target.user == "2020-01-01"
    assert target.ssh.options == {
        "ServerAliveInterval": "15",
        "Compression": "yes",
        "StreamLocalBindMask": "0177",
        "IPQoS": "none",
    }


MERGED = """\
sync_targets:
  a: &a
    host: h
    port: 1
    paths: {sweeps: ~/s, wandb: ~/w}
  b:
    <<: *a
    port: 2
"""


def test_aliases_and_merged_sections() -> None:
    first, second = parse_document(MERGED, "f")[0].sync_targets.values()
    assert second == first.model_copy(update={"port": 2})


def test_a_problem_in_a_merged_section_has_its_own_line() -> None:
    lines = problems_of(MERGED.replace("host: h", "host: a/b"))
    assert [line.split(";")[0] for line in lines] == [
        "3 sync_targets.a.host: 'a/b' has a slash",
        "3 sync_targets.b.host: 'a/b' has a slash",
    ]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("form", ["[{}]", "{{<<: [{}]}}"], ids=["lists", "merges"])
def test_aliases_of_aliases_cost_nothing(form: str) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} " + form.format(", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 18)]
    lines.append("sync_targets: *a17")
    problem_of(lambda: parse_document("\n".join(lines), "f.yaml"), "bad_config")


def test_deep_nesting_is_a_problem_of_its_own() -> None:
    lines = problems_of(TARGET + "x: " + "{a: " * 30 + "1" + "}" * 30)
    assert any("is nested too deeply" in line for line in lines)


@given(st.text(st.sampled_from("a0:-[]{}&*!|>'\"#%@`,? \n\t~<x\x00é"), max_size=40))
def test_any_text_is_loaded_or_is_a_config_error(text: str) -> None:
    error = catch_problem(text)
    if error:
        assert error.kind in ("bad_yaml", "bad_config")
        assert all(line.isprintable() for line in error.message.split("\n"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 99) | st.floats(0, 9) | st.sampled_from(["a", "~", "/a", "-x", "a/b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["host", "paths", "x"]), inner),
    max_leaves=6,
)
KEYS = [
    "default_target",
    "source",
    "sync_targets",
    "sync_targets.d",
    "sync_targets.d.paths",
    "sync_targets.d.paths.sweeps",
    "sync_targets.d.ssh.options",
    "sync_targets.d.options.latest_only",
    "sync_targets.d.options.exclude",
]


@given(st.sampled_from(KEYS), VALUES)
def test_a_value_of_any_type_is_loaded_or_named_in_our_words(key: str, value: object) -> None:
    data: dict[str, object] = {"sync_targets": {"d": {"host": "h", "paths": {"sweeps": "/s", "wandb": "/w"}}}}
    place = data
    *folders, last = key.split(".")
    for part in folders:
        place = place.setdefault(part, {})  # type: ignore[assignment]
    place[last] = value
    error = catch_problem(json.dumps(data))
    if error:
        assert not re.search(r"Input should|Value error|type=|the file:", error.message)
        keys = [line.split()[2] for line in error.message.splitlines() if line.startswith("  line ")]
        parent = key.rsplit(".", 1)[0]
        assert all(found.startswith((key, f"{parent}.", "default_target")) for found in keys)


class TestSelect:
    config = parse_document(GOOD, "f")[0].make()
    without_default = parse_document(TARGET, "f")[0].make()

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            pytest.param([], ["desktop"], id="default"),
            pytest.param(["backup"], ["backup"], id="one"),
            pytest.param(["backup", "desktop", "backup"], ["backup", "desktop"], id="each once, in order"),
        ],
    )
    def test_selected(self, names: list[str], expected: list[str]) -> None:
        chosen = select_targets(self.config, names)
        assert list(chosen) == expected
        assert all(chosen[name] is self.config.sync_targets[name] for name in chosen)

    @pytest.mark.parametrize(
        ("names", "message", "hint"),
        [
            (["desktpo"], "Unknown sync target 'desktpo'; there are: desktop, backup", "did you mean desktop?"),
            (["Backup"], "Unknown sync target 'Backup'; there are: desktop, backup", "did you mean backup?"),
            (
                ["desktop", "x", "y", "x"],
                "Unknown sync targets 'x', 'y'; there are: desktop, backup",
                "hsm sync list",
            ),
            (["\n"], "Unknown sync target '\\n'; there are: desktop, backup", "hsm sync list"),
        ],
    )
    def test_unknown(self, names: list[str], message: str, hint: str) -> None:
        with pytest.raises(UsageError) as caught:
            select_targets(self.config, names)
        assert (caught.value.kind, caught.value.message) == ("unknown_target", message)
        assert hint in caught.value.hint

    def test_neither_name_nor_default_even_with_one_target(self) -> None:
        with pytest.raises(UsageError, match="No target given") as caught:
            select_targets(self.without_default, [])
        assert caught.value.kind == "no_target"
        assert "--target d" in caught.value.hint
