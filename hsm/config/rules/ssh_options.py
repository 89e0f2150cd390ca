"""Rules for options of ssh in a configuration: none that runs a program, reads another file, or is HSM's own. Pure.

Who can write the configuration can choose what runs, within these bounds: which key is shown to which machine, for
example. Host keys are always checked. A rule returns the value or raises a `ValueError`, as in `values`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# ssh takes a blank or `=` in a name for the beginning of the value, which could then be anything.
_OPTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
# Without characters of a shell: ssh puts jump hosts into a command line for the user's shell.
_JUMPS = re.compile(r"[A-Za-z0-9._@:,\[\]/%-]+")

# ssh_config(5): options that run or load a program of the configuration's choice, or read another file.
_PROGRAM_OPTIONS = re.compile(
    "proxycommand|proxyusefdpass|localcommand|knownhostscommand|pkcs11provider|smartcarddevice|"
    "securitykeyprovider|xauthlocation|match|include|host"
)
# Options that HSM sets on every session, or that would make a session do something else than its command.
_FIXED_OPTIONS = re.compile(
    "controlmaster|controlpath|controlpersist|batchmode|remotecommand|requesttty|clearallforwardings|"
    "forwardagent|forwardx11|forwardx11trusted|forwardx11timeout|permitlocalcommand|stricthostkeychecking|"
    "loglevel|logverbose|localforward|remoteforward|dynamicforward|tunnel|tunneldevice|sessiontype|"
    "forkafterauthentication|stdinnull|nohostauthenticationforlocalhost"
)
SECRET_OPTIONS = frozenset({"setenv"})
"""Options of ssh_config(5) whose values may be secrets: what they hold goes to the target's environment."""

_SETTING_OPTIONS = {"hostname": "host", "user": "user", "port": "port"}


def check_option_name(text: str) -> str:
    """Return `text` if it names an ssh option that a configuration may set.

    Raises:
        ValueError: It is no option's name, runs programs, or is HSM's own to set.
    """
    name = text.lower()
    if not _OPTION_NAME.fullmatch(text):
        raise ValueError("is no name of an ssh option")
    if name in _SETTING_OPTIONS:
        raise ValueError(f"is set by the target's {_SETTING_OPTIONS[name]}")
    if _PROGRAM_OPTIONS.fullmatch(name):
        raise ValueError("runs programs or reads other files; it belongs into your own ~/.ssh/config")
    if _FIXED_OPTIONS.fullmatch(name):
        raise ValueError("is set by HSM itself on every session")
    return text


def make_option_text(value: object) -> object:
    """Return what ssh_config(5) calls a truth value or a number; anything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else value


def _check_jumps(text: str) -> None:
    hops = [hop.removeprefix("ssh://") for hop in text.split(",")]
    words = [word for hop in hops for word in hop.split("@")]
    if not _JUMPS.fullmatch(text) or any(not word or word.startswith("-") for word in words):
        raise ValueError("ProxyJump: not a list of [user@]host[:port], separated by commas")


def _check_known_hosts(text: str) -> None:
    # ssh takes several files, quoted or not, and any spelling of a path.
    for word in re.sub("[\"']", " ", text).split():
        if word.lower() == "none" or re.fullmatch(r"/[/.]*dev/[/.]*null", word):
            raise ValueError("UserKnownHostsFile: host keys are always checked, so a file of them is needed")


_TEXT_RULES = {"proxyjump": _check_jumps, "userknownhostsfile": _check_known_hosts}


def check_options(options: Mapping[str, str]) -> None:
    """Check ssh options together: none is there in two spellings, and those with rules of their own keep them.

    Raises:
        ValueError: One does not.
    """
    seen: dict[str, str] = {}
    for name, text in options.items():
        if other := seen.get(name.lower()):
            raise ValueError(f"{other} and {name} are one option")
        seen[name.lower()] = name
        if rule := _TEXT_RULES.get(name.lower()):
            rule(text)
