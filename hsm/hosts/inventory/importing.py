"""Import of machines that other programs know: the entries of `~/.ssh/config`, and the peers of a tailnet."""

from __future__ import annotations

import contextlib
import glob
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hsm.errors import ConfigError, TargetError
from hsm.process.runner import CommandTimeoutError, ProgramMissingError, Runner
from hsm.remote.openssh.command_line import parse_resolved

_TIMEOUT_SECONDS = 20
_MAX_INCLUDES = 16  # deep, as in OpenSSH (READCONF_MAX_DEPTH in readconf.c)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def iter_ssh_aliases(config: Path, *, depth: int = 0) -> Iterator[str]:
    """Yield the names of `Host` lines that are no patterns, in order, `Include`d files in place.

    ssh_config(5) says how both are written. What cannot be read is passed over, as ssh does.
    """
    try:
        lines = config.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        word, *values = _split(line)
        if word.lower() == "host":
            yield from (value for value in values if not set("*?!") & set(value))
        elif word.lower() == "include" and depth < _MAX_INCLUDES:
            for value in values:
                base = Path(value).expanduser()
                place = base if base.is_absolute() else Path("~/.ssh").expanduser() / base
                for name in sorted(glob.glob(str(place))):  # noqa: PTH207 - the pattern is absolute
                    yield from iter_ssh_aliases(Path(name), depth=depth + 1)


def _split(line: str) -> list[str]:
    try:
        words = shlex.split(line.strip().replace("=", " ", 1), comments=True)
    except ValueError:
        words = []
    return words or [""]


def read_ssh_hosts(runner: Runner, config: Path) -> dict[str, dict[str, Any]]:
    """Return the machines of an ssh configuration with the settings that `ssh -G` has for them.

    Raises:
        TargetError: There is no ssh here (kind `ssh_missing`).
    """
    found: dict[str, dict[str, Any]] = {}
    for alias in dict.fromkeys(iter_ssh_aliases(config)):
        if not _NAME.fullmatch(alias):  # it could not be a key of the hosts file
            continue
        try:
            # Asked of ssh, which alone knows `Include`, `Match` and patterns. It runs what `Match exec` says, as any
            # ssh to there.
            done = runner.run(["ssh", "-F", str(config), "-G", "--", alias], timeout_seconds=_TIMEOUT_SECONDS)
        except ProgramMissingError as error:
            raise TargetError("There is no `ssh` on this machine.", kind="ssh_missing") from error
        except CommandTimeoutError:
            continue
        if done.returncode == 0:
            settings = parse_resolved(done.stdout.decode("utf-8", "replace"))
            found[alias] = _make_ssh_entry(alias, settings)
    return found


def _make_ssh_entry(alias: str, settings: dict[str, str]) -> dict[str, Any]:
    """Make a machine's entry of its ssh settings; with a ProxyCommand, which no hosts file has, it stays an alias."""
    has_command = settings.get("proxycommand", "none") != "none"
    entry: dict[str, Any] = {"ssh_host": alias if has_command else settings.get("hostname", alias)}
    if "user" in settings:
        entry["ssh_user"] = settings["user"]
    if settings.get("port", "").isdigit():
        entry["ssh_port"] = int(settings["port"])
    keys = settings.get("identityfile", "").splitlines()
    if len(keys) == 1:  # several are ssh's defaults
        entry["ssh_key"] = keys[0]
    if settings.get("proxyjump", "none") != "none":
        entry["jump_host"] = settings["proxyjump"]
    return entry


def read_tailscale_hosts(runner: Runner) -> dict[str, dict[str, Any]]:
    """Return the other machines of the tailnet; none where tailscale is not installed or not running.

    The format is that of `tailscale status --json` (`ipnstate.Status`).
    """
    try:
        done = runner.run(["tailscale", "status", "--json"], timeout_seconds=_TIMEOUT_SECONDS)
    except (ProgramMissingError, CommandTimeoutError):
        return {}
    return parse_tailscale(done.stdout) if done.returncode == 0 else {}


def parse_tailscale(content: bytes) -> dict[str, dict[str, Any]]:
    """Read the peers of `tailscale status --json`; what has no name or address is left out."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    peers = document.get("Peer") if isinstance(document, dict) else None
    found: dict[str, dict[str, Any]] = {}
    for peer in peers.values() if isinstance(peers, dict) else ():
        match peer:
            case {"DNSName": str(dns_name), "TailscaleIPs": [str(address), *_]}:
                name = dns_name.partition(".")[0]
                if _NAME.fullmatch(name) and re.fullmatch(r"[0-9a-fA-F.:]{3,45}", address):
                    status = "active" if peer.get("Online") is True else "offline"
                    found[name] = {"tailscale_ip": address, "status": status}
    return found


def make_hosts_text(*sources: dict[str, dict[str, Any]]) -> str:
    """Return a hosts file of the machines of several sources; one that several know has the keys of all.

    A machine with a setting that a hosts file must not have is left out.
    """
    import yaml  # noqa: PLC0415 - 20 ms

    from hsm.hosts.inventory.document import parse_hosts  # noqa: PLC0415 - pydantic

    hosts: dict[str, dict[str, Any]] = {}
    for source in sources:
        for name, entry in source.items():
            hosts[name] = {**hosts.get(name, {}), **entry}
    kept: dict[str, dict[str, Any]] = {}
    for name, entry in hosts.items():
        # One at a time, so that a machine with a wrong setting does not take the others with it.
        with contextlib.suppress(ConfigError):
            parse_hosts(yaml.safe_dump({"hosts": {name: entry}}), name, {})
            kept[name] = entry
    return yaml.safe_dump({"hosts": kept}, sort_keys=False, allow_unicode=True)
