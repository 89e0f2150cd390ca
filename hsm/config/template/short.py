"""Short configuration of one target, without anything that need be edited. Pure."""

from __future__ import annotations

import re

from hsm.config.template.address import ProjectAddress
from hsm.config.template.commented import quote_yaml

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*|~?/[A-Za-z0-9._/-]+")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""Words that YAML reads as something else than text."""

_HEADS = {
    "pull": "# This project gets its sweeps from {target}:  hsm sync from latest",
    "push": "# This project sends its sweeps to {target}:  hsm sync to latest",
}
_TEXT = """\
# Written by `hsm sync init`. All settings: `hsm docs configuration`; those in force: `hsm sync list`.
{head}

default_target: {target}

sync_targets:
  {target}:
    host: {host}
{login}\
    paths:
      project_root: {path}
      sweeps: sweeps  # in project_root; sweep folders are in sweeps/outputs/
      wandb: wandb    # run folders
"""


def make_short_config(target: str, address: ProjectAddress, *, direction: str) -> str:
    """Make the text of a `.hsm/sync_config.yaml` with one target.

    Args:
        target: Its name.
        address: The project there.
        direction: `push` or `pull`.
    """
    login = f"    user: {_write(address.user)}\n" if address.user else ""
    login += f"    port: {address.port}\n" if address.port else ""
    return _TEXT.format(
        head=_HEADS[direction].format(target=target),
        target=_write(target),
        host=_write(address.host),
        login=login,
        path=_write(address.path),
    )


def _write(text: str) -> str:
    """Write text for YAML, without quotes where it needs none."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else quote_yaml(text)
