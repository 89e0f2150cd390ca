"""ssh's command line, and what `ssh -G` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.process.runner import Runner
from hsm.remote.openssh.command_line import QUICK_CIPHER, make_cipher_wish, make_ssh_arguments, parse_resolved

CHACHA = "chacha20-poly1305@openssh.com"


@pytest.mark.parametrize(
    ("resolved", "expected"),
    [
        pytest.param({}, (), id="nothing known"),
        pytest.param({"ciphers": ""}, (), id="none"),
        pytest.param({"ciphers": CHACHA}, (), id="not allowed"),
        pytest.param({"ciphers": f"{CHACHA},x{QUICK_CIPHER}"}, (), id="a name that ends like it"),
        pytest.param({"ciphers": QUICK_CIPHER}, (f"Ciphers={QUICK_CIPHER}",), id="it alone"),
        pytest.param(
            {"ciphers": f"{CHACHA},aes256-ctr,{QUICK_CIPHER},aes128-ctr"},
            (f"Ciphers={QUICK_CIPHER},{CHACHA},aes256-ctr,aes128-ctr",),
            id="the others stay in their order",
        ),
    ],
)
def test_the_quick_cipher_comes_first_where_it_is_allowed(resolved: dict[str, str], expected: tuple[str, ...]) -> None:
    assert make_cipher_wish(resolved) == expected


def make_settings(**options: str) -> TargetSettings:
    paths = {"sweeps": "~/sweeps", "wandb": "~/wandb"}
    return parse_target({"host": "example.org", "paths": paths, "ssh": {"options": options}})


def resolve(settings: TargetSettings, *, wishes: tuple[str, ...] = ()) -> list[str]:
    """The ciphers that a real ssh would offer."""
    words = make_ssh_arguments(settings, Path("none"), wishes=wishes)
    completed = Runner().run(["ssh", "-F", "none", *words, "-G", "--", "example.org"], timeout_seconds=20)
    assert completed.returncode == 0, completed.stderr_text
    return parse_resolved(completed.stdout.decode())["ciphers"].split(",")


def test_a_real_ssh_offers_the_quick_cipher_first(require_program: Callable[..., None]) -> None:
    require_program("ssh")
    plain = resolve(make_settings())
    wished = resolve(make_settings(), wishes=make_cipher_wish({"ciphers": ",".join(plain)}))
    assert wished[0] == QUICK_CIPHER
    assert sorted(wished) == sorted(plain)


@pytest.mark.parametrize("own", [CHACHA, "aes256-ctr,aes128-ctr", f"{CHACHA},{QUICK_CIPHER}"])
def test_the_targets_own_ciphers_win(own: str, require_program: Callable[..., None]) -> None:
    require_program("ssh")
    settings = make_settings(Ciphers=own)
    assert resolve(settings, wishes=make_cipher_wish({"ciphers": own})) == own.split(",")
