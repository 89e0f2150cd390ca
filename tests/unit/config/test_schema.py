import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from hsm.config.rules.values import SECRET_PATTERNS, check_path
from hsm.config.schema import ConfigSection, SourceSection, TargetSection, parse_target
from hsm.config.target_sections import OptionsSection, PathsSection, SshSection

PATHS = {"sweeps": "/data/sweeps", "wandb": "/data/wandb"}


def make_target(**settings: Any) -> TargetSection:
    return TargetSection.model_validate({"host": "desktop", "paths": PATHS, **settings})


def make_config(**settings: Any) -> ConfigSection:
    return ConfigSection.model_validate({"sync_targets": {"desktop": {"host": "h", "paths": PATHS}}, **settings})


def reason_of(model: type[BaseModel], data: dict[str, Any], key: str) -> str:
    """The one problem of `data`, which must lie at `key`."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    (error,) = caught.value.errors()
    assert ".".join(map(str, error["loc"])) == key
    return str(error["msg"])


def test_defaults() -> None:
    config = make_config()
    target = config.sync_targets["desktop"]
    assert config.default_target == ()
    assert (config.source.sweeps, config.source.wandb) == ("sweeps", "wandb")
    assert (target.user, target.port, target.rsync_path, target.paths.project_root) == (None,) * 4
    assert (target.ssh.config, target.ssh.identity_file, target.ssh.options) == (None, None, {})
    assert target.options.model_dump() == {
        "sync_sweep_metadata": True,
        "sync_wandb_runs": True,
        "latest_only": True,
        "max_depth": 1,
        "parallel_transfers": 4,
        "compress": "auto",
        "check_remote_first": True,
        "sync_artifact_staging": False,
        "exclude": (),
        "receive_mode": "private",
        "folder_links": "skip",
        "secret_patterns": SECRET_PATTERNS,
    }
    assert target.secrets == "warn"


def test_a_target_without_host_is_a_folder_of_this_machine() -> None:
    folder = parse_target({"paths": PATHS})
    assert (folder.is_folder, folder.host, folder.engine, folder.ssh.client) == (True, "", "auto", "auto")
    assert not make_target().make().is_folder


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"user": "me"}, "user"),
        ({"port": 22}, "port"),
        ({"rsync_path": "/opt/bin/rsync"}, "rsync_path"),
        ({"ssh": {"identity_file": "~/.ssh/id"}}, "ssh"),
        ({"ssh": {"client": "paramiko"}}, "ssh"),
        ({"engine": "sftp"}, "engine"),
    ],
)
def test_what_only_another_machine_can_have(settings: dict[str, Any], key: str) -> None:
    assert "needs `host`" in reason_of(TargetSection, {"paths": PATHS, **settings}, key)
    assert make_target(**settings)


@pytest.mark.parametrize("host", ["", None])
def test_an_empty_host_is_a_mistake_and_no_folder(host: str | None) -> None:
    reason_of(TargetSection, {"host": host, "paths": PATHS}, "host")


def test_a_wrong_host_is_one_problem() -> None:
    reason_of(TargetSection, {"host": "a b", "user": "me", "engine": "sftp", "paths": PATHS}, "host")


@pytest.mark.parametrize(
    ("settings", "key", "reason"),
    [
        ({"engine": "copy"}, "engine", "within this machine"),
        ({"engine": "rsync", "ssh": {"client": "paramiko"}}, "ssh", "cannot carry"),
        ({"engine": "scp"}, "engine", "Input should be"),
        ({"engine": None, "ssh": {"client": "putty"}}, "ssh.client", "Input should be"),
    ],
)
def test_engines_and_clients_that_do_not_go_together(settings: dict[str, Any], key: str, reason: str) -> None:
    assert reason in reason_of(TargetSection, {"host": "h", "paths": PATHS, **settings}, key)


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        make_target().host = "other"


@pytest.mark.parametrize(
    "model", [ConfigSection, SourceSection, TargetSection, PathsSection, SshSection, OptionsSection]
)
def test_every_field_is_described_and_unknown_ones_are_refused(model: type[BaseModel]) -> None:
    assert all(field.description for field in model.model_fields.values())
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"]


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("ee-lw1115.dept.ic.ac.uk", id="name"),
        pytest.param("desktop", id="alias"),
        pytest.param("my_alias", id="alias with underscore"),
        pytest.param("192.0.2.7", id="IPv4"),
        pytest.param("2001:db8::1", id="IPv6"),
        pytest.param("fe80::1%eth0", id="IPv6 with zone"),
        pytest.param("bücher.example", id="international name"),
    ],
)
def test_good_host(host: str) -> None:
    assert make_target(host=host).host == host


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("a/b", "slash", id="slash"),
        pytest.param("host:22", "colon", id="port"),
        pytest.param("host:/data", "slash", id="rsync spelling"),
        pytest.param("[2001:db8::1]", "brackets", id="IPv6 in brackets"),
        pytest.param("a b", "white space", id="space"),
        pytest.param("-oProxyCommand=x", "dash", id="leading dash"),
        pytest.param("me@host", "@", id="user"),
        pytest.param("a\nb", "line break", id="newline"),
        pytest.param("a\x00", "control", id="null byte"),
        pytest.param("a\u2028b", "line break", id="unicode line separator"),
        pytest.param("a;reboot", "has ;", id="semicolon"),
        pytest.param("$(reboot)", "shell", id="command substitution"),
        pytest.param("fe80::1%e`x`", "shell", id="shell in the zone"),
        pytest.param("%h", "no host name has", id="ssh token"),
    ],
)
def test_bad_host(host: str, reason: str) -> None:
    assert reason in reason_of(TargetSection, {"host": host, "paths": PATHS}, "host")


@pytest.mark.parametrize("user", ["gb21", "g.b_21-x", "IC\\gb21"])
def test_good_user(user: str) -> None:
    assert make_target(user=user).user == user


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("a/b", "slash", id="slash"),
        pytest.param("a:b", "has a :", id="colon"),
        pytest.param("a@b", "has a @", id="at"),
        pytest.param("a b", "white space", id="space"),
        pytest.param("-l", "dash", id="leading dash"),
        pytest.param("a\tb", "control", id="tab"),
        pytest.param("`x`", "shell", id="backtick"),
        pytest.param("%r", "has a %", id="ssh token"),
        pytest.param("a\\", "backslash", id="backslash at the end"),
    ],
)
def test_bad_user(user: str, reason: str) -> None:
    assert reason in reason_of(TargetSection, {"host": "h", "user": user, "paths": PATHS}, "user")


@pytest.mark.parametrize("port", [1, 22, 65535])
def test_good_port(port: int) -> None:
    assert make_target(port=port).port == port


@pytest.mark.parametrize("port", [0, -1, 65536, "22", 22.0, True])
def test_bad_port(port: object) -> None:
    reason_of(TargetSection, {"host": "h", "port": port, "paths": PATHS}, "port")


@pytest.mark.parametrize(
    ("name", "is_good"),
    [
        pytest.param("desktop", True, id="word"),
        pytest.param("0.a_b-C", True, id="all kinds of characters"),
        pytest.param("a" * 64, True, id="64"),
        pytest.param("a" * 65, False, id="65"),
        pytest.param("", False, id="empty"),
        pytest.param(".hidden", False, id="leading dot"),
        pytest.param("-t", False, id="leading dash"),
        pytest.param("a/b", False, id="slash"),
        pytest.param("a\n", False, id="newline at the end"),
        pytest.param("é", False, id="not ASCII"),
    ],
)
def test_target_name(name: str, is_good: bool) -> None:
    data = {"sync_targets": {name: {"host": "h", "paths": PATHS}}}
    if is_good:
        assert list(ConfigSection.model_validate(data).sync_targets) == [name]
    else:
        assert "cannot name a target" in reason_of(ConfigSection, data, f"sync_targets.{name}.[key]")


@pytest.mark.parametrize(
    ("written", "root", "expected"),
    [
        pytest.param("/data/sweeps", None, "/data/sweeps", id="absolute"),
        pytest.param("~/sweeps", None, "~/sweeps", id="home"),
        pytest.param("//data///sweeps/./x/", None, "/data/sweeps/x", id="normalised"),
        pytest.param("~//./x/", None, "~/x", id="home normalised"),
        pytest.param("sweeps", "/data", "/data/sweeps", id="relative"),
        pytest.param("./a/sweeps/", "~/code//p/", "~/code/p/a/sweeps", id="relative to a folder at home"),
        pytest.param(".", "/data", "/data", id="project_root itself"),
        pytest.param("/a b/é", None, "/a b/é", id="space and letters"),
        pytest.param("/a/..b", None, "/a/..b", id="two dots in a name"),
    ],
)
def test_good_path(written: str, root: str | None, expected: str) -> None:
    paths = PathsSection.model_validate({"sweeps": written, "wandb": "/w", "project_root": root})
    assert paths.sweeps == expected


@pytest.mark.parametrize("key", ["sweeps", "wandb"])
@pytest.mark.parametrize(
    ("written", "root", "reason"),
    [
        pytest.param("", "/p", "empty", id="empty"),
        pytest.param("/", None, "root of the file system", id="root"),
        pytest.param("//./", None, "root of the file system", id="root in disguise"),
        pytest.param("~", None, "home folder itself", id="home"),
        pytest.param("~/", None, "home folder itself", id="home with slash"),
        pytest.param("~/./", None, "home folder itself", id="home in disguise"),
        pytest.param("~bob/x", None, "user's name", id="home of another"),
        pytest.param("/a/../b", None, "component ..", id="up"),
        pytest.param("~/..", None, "component ..", id="up from home"),
        pytest.param("../x", "/p", "component ..", id="up from project_root"),
        pytest.param("x", None, "no project_root", id="relative to nothing"),
        pytest.param("$HOME/x", "/p", "variable", id="variable"),
        pytest.param("/a\nb", None, "line break", id="newline"),
        pytest.param("/a\x1b[0m", None, "control", id="escape"),
        pytest.param("/a\ud800", None, "cannot be printed", id="lone surrogate"),
    ],
)
def test_bad_path(key: str, written: str, root: str | None, reason: str) -> None:
    data = {"sweeps": "/s", "wandb": "/w", "project_root": root, key: written}
    assert reason in reason_of(PathsSection, data, key)


@pytest.mark.parametrize("root", ["/", "~", "~/", "code", "/a/../b"])
def test_bad_project_root_is_one_problem(root: str) -> None:
    reason_of(PathsSection, {"sweeps": "s", "wandb": "w", "project_root": root}, "project_root")


@pytest.mark.parametrize(
    ("sweeps", "wandb", "reason"),
    [
        pytest.param("/a/x", "/a/x", "same folder", id="equal"),
        pytest.param("/a/x", "/a//x/", "same folder", id="equal when normalised"),
        pytest.param("/a", "/a/outputs", "where sweep folders land", id="runs where sweeps land"),
        pytest.param("/a", "/a/outputs/wandb", "where sweep folders land", id="runs below where sweeps land"),
        pytest.param("/a", "/a/wandb", "", id="runs beside the sweeps' outputs"),
        pytest.param("/a", "/a/outputs2", "", id="a longer name"),
        pytest.param("/a/wandb/sweeps", "/a/wandb", "", id="sweeps inside the runs' folder"),
    ],
)
def test_sweeps_and_wandb_keep_apart(sweeps: str, wandb: str, reason: str) -> None:
    data = {"sweeps": sweeps, "wandb": wandb}
    if reason:
        assert reason in reason_of(PathsSection, data, "wandb")
    else:
        assert PathsSection.model_validate(data).model_dump(exclude_none=True) == data


@given(st.text(st.sampled_from("ab./~ \n"), max_size=12))
def test_a_checked_path_is_safe_and_stays_as_it_is(text: str) -> None:
    try:
        path = check_path(text)
    except ValueError:
        return
    assert path.startswith(("/", "~/"))
    assert not {"", ".", ".."}.intersection(path.split("/")[1:])
    assert path.isprintable()
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("written", "expected"),
    [("rsync3", "rsync3"), ("/opt//bin/rsync", "/opt/bin/rsync"), ("~/bin/rsync", "~/bin/rsync")],
)
def test_good_rsync_path(written: str, expected: str) -> None:
    assert make_target(rsync_path=written).rsync_path == expected


@pytest.mark.parametrize("written", ["sudo rsync", "bin/rsync", "-x", "rsync;reboot", "../rsync", ""])
def test_bad_rsync_path(written: str) -> None:
    reason_of(TargetSection, {"host": "h", "paths": PATHS, "rsync_path": written}, "rsync_path")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("a//b/./c/", "a/b/c", id="relative"),
        pytest.param("//scratch/x", "/scratch/x", id="absolute"),
    ],
)
def test_good_source(written: str, expected: str) -> None:
    assert SourceSection.model_validate({"sweeps": written}).sweeps == expected


@pytest.mark.parametrize("written", ["../x", "a/../../b", "/", ".", "./", "", "~/x", "$HOME/x", "a\nb"])
def test_bad_source(written: str) -> None:
    reason_of(SourceSection, {"wandb": written}, "wandb")
    reason_of(SourceSection, {"wandb_folders": ["train/wandb", written]}, "wandb_folders.1")


def test_wandb_folders_are_a_list_of_paths() -> None:
    written = ["a//wandb/", "/scratch/wandb"]
    assert SourceSection().wandb_folders == ()
    assert SourceSection.model_validate({"wandb_folders": written}).wandb_folders == ("a/wandb", "/scratch/wandb")
    reason_of(SourceSection, {"wandb_folders": "a/wandb"}, "wandb_folders")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(15, "15"), (True, "yes"), (False, "no"), ("3des-cbc", "3des-cbc"), ("a b", "a b")],
)
def test_ssh_option_value(value: object, expected: str) -> None:
    assert SshSection.model_validate({"options": {"Some": value}}).options == {"Some": expected}


@pytest.mark.parametrize("value", [1.5, None, [], {}, "", "a\nProxyCommand x", "a\x00"])
def test_bad_ssh_option_value(value: object) -> None:
    reason_of(SshSection, {"options": {"Some": value}}, "options.Some")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, "runs programs") for name in ("ProxyCommand", "LocalCommand", "KnownHostsCommand")),
        *((name, "runs programs") for name in ("PKCS11Provider", "SmartcardDevice", "SecurityKeyProvider")),
        *((name, "runs programs") for name in ("XAuthLocation", "Match", "Include", "ProxyUseFdpass")),
        *((name, "HSM itself") for name in ("ControlMaster", "ControlPath", "ControlPersist", "BatchMode")),
        *((name, "HSM itself") for name in ("RemoteCommand", "RequestTTY", "ClearAllForwardings")),
        *((name, "HSM itself") for name in ("ForwardAgent", "ForwardX11", "PermitLocalCommand")),
        *((name, "HSM itself") for name in ("StrictHostKeyChecking", "LogLevel", "SessionType", "Tunnel")),
        *((name, "HSM itself") for name in ("NoHostAuthenticationForLocalhost", "LocalForward")),
        ("Hostname", "target's host"),
        ("User", "target's user"),
        ("Port", "target's port"),
        ("A=B", "no name"),
        ("-o", "no name"),
        ("Proxy Command", "no name"),
        ("", "no name"),
    ],
)
@pytest.mark.parametrize("change", [str, str.lower, str.upper], ids=["", "lower", "upper"])
def test_refused_ssh_option(name: str, reason: str, change: Any) -> None:
    name = change(name)
    assert reason in reason_of(SshSection, {"options": {name: "x"}}, f"options.{name}.[key]")


@pytest.mark.parametrize(
    ("name", "value", "is_good"),
    [
        ("UserKnownHostsFile", "/home/me/known_hosts", True),
        ("UserKnownHostsFile", "~/.ssh/a ~/.ssh/b", True),
        ("UserKnownHostsFile", "/dev/null", False),
        ("userknownhostsfile", "/dev//./null", False),
        ("UserKnownHostsFile", '~/.ssh/a "/dev/null"', False),
        ("UserKnownHostsFile", "None", False),
        ("ProxyJump", "none", True),
        ("ProxyJump", "me@login.example.org:2222,ssh://[2001:db8::1]:22", True),
        ("ProxyJump", "a;touch x", False),
        ("ProxyJump", "a b", False),
        ("ProxyJump", "$(x)", False),
        ("proxyjump", "a,-oProxyCommand=x", False),
        ("ProxyJump", "me@-x", False),
        ("ProxyJump", "a,,b", False),
    ],
)
def test_ssh_options_with_rules_of_their_own(name: str, value: str, is_good: bool) -> None:
    data = {"options": {name: value}}
    if is_good:
        assert SshSection.model_validate(data).options == data["options"]
    else:
        reason_of(SshSection, data, "options")


def test_one_ssh_option_in_two_spellings() -> None:
    assert "one option" in reason_of(SshSection, {"options": {"IPQoS": "none", "ipqos": "none"}}, "options")


@pytest.mark.parametrize("key", ["config", "identity_file"])
@pytest.mark.parametrize(("written", "is_good"), [("~/.ssh/x", True), ("/etc/x", True), ("x", False)])
def test_ssh_files(key: str, written: str, is_good: bool) -> None:
    if is_good:
        assert getattr(SshSection.model_validate({key: written}), key) == written
    else:
        reason_of(SshSection, {key: written}, key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latest_only", True),
        ("latest_only", False),
        ("latest_only", "uploaded"),
        ("max_depth", 1),
        ("max_depth", None),
        ("parallel_transfers", 1),
        ("parallel_transfers", 64),
        ("sync_sweep_metadata", False),
    ],
)
def test_good_option(key: str, value: object) -> None:
    assert getattr(OptionsSection.model_validate({key: value}), key) is value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latest_only", 1),
        ("latest_only", "yes"),
        ("max_depth", 0),
        ("max_depth", True),
        ("max_depth", "all"),
        ("parallel_transfers", 0),
        ("parallel_transfers", 65),
        ("parallel_transfers", 4.0),
        ("check_remote_first", "true"),
        ("check_remote_first", 1),
        ("exclude", "*.ckpt"),
        ("secret_patterns", ".env"),
    ],
)
def test_bad_option(key: str, value: object) -> None:
    reason_of(OptionsSection, {key: value}, key)


def test_exclude_keeps_good_patterns_in_order() -> None:
    patterns = ["*.ckpt", "!best.ckpt", "checkpoints/", "/a/**/b", "[ab]?", "\\#x"]
    assert OptionsSection.model_validate({"exclude": patterns}).exclude == tuple(patterns)


@pytest.mark.parametrize("written", [[], ["*.key", "!public.key"]])
def test_secret_patterns_replace_the_default(written: list[str]) -> None:
    assert OptionsSection.model_validate({"secret_patterns": written}).secret_patterns == tuple(written)


@pytest.mark.parametrize("pattern", SECRET_PATTERNS)
def test_every_default_secret_pattern_could_be_written(pattern: str) -> None:
    assert OptionsSection.model_validate({"secret_patterns": [pattern]}).secret_patterns == (pattern,)


@pytest.mark.parametrize("written", ["warn", "refuse", "ignore"])
def test_what_to_do_about_secrets(written: str) -> None:
    assert make_target(secrets=written).secrets == written


@pytest.mark.parametrize("written", ["error", "", True, ["refuse"]])
def test_what_else_cannot_be_done_about_secrets(written: object) -> None:
    with pytest.raises(ValidationError):
        make_target(secrets=written)


@pytest.mark.parametrize("pattern", ["", " ", "#x", "!", "\\", "/", "a[z-b]", "a\nb"])
def test_bad_exclude_pattern(pattern: str) -> None:
    reason_of(OptionsSection, {"exclude": ["*.x", pattern]}, "exclude.1")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("desktop", ("desktop",)),
        (["desktop"], ("desktop",)),
        (["desktop"] * 2, ("desktop",)),
        ([], ()),
        (None, ()),
    ],
)
def test_default_target(written: object, expected: tuple[str, ...]) -> None:
    assert make_config(default_target=written).default_target == expected


def test_unknown_default_target() -> None:
    with pytest.raises(ValidationError, match="no target is named laptop; there are: desktop"):
        make_config(default_target=["desktop", "laptop"])


@pytest.mark.parametrize("targets", [{}, None])
def test_at_least_one_target(targets: object) -> None:
    reason_of(ConfigSection, {"sync_targets": targets}, "sync_targets")


def test_empty_sections_count_as_absent_and_a_null_depth_does_not() -> None:
    target = make_target(ssh=None, options={"exclude": None, "max_depth": None}, user=None)
    assert target.ssh == SshSection()
    assert target.options == OptionsSection(max_depth=None)


def test_an_unknown_key_left_empty_is_still_unknown() -> None:
    reason_of(OptionsSection, {"parallel_transfer": None}, "parallel_transfer")


def test_schema_does_not_import_what_it_does_not_use() -> None:
    program = "import sys, hsm.config.schema; print(*{'yaml', 'pathspec', 'fabric', 'typer'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_the_package_imports_neither_yaml_nor_pydantic() -> None:
    program = "import sys, hsm.config; print(*{'yaml', 'pydantic'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
