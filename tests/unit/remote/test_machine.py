"""What a machine is known by, so that two hosts can be shown to be different."""

from __future__ import annotations

import socket

import pytest

from hsm.remote.machine import THIS, find_machine


@pytest.mark.parametrize("host", ["", "127.0.0.1", "127.0.0.2"])
def test_this_machine_is_known_by_any_of_its_addresses(host: str) -> None:
    assert THIS in find_machine(host)


def test_another_address_is_another_machine() -> None:
    assert find_machine("192.0.2.1") == {"192.0.2.1"}


def test_two_names_of_one_address_are_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.7", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    assert find_machine("nas") & find_machine("nas.example")


def test_of_a_name_that_only_a_jump_host_knows_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert find_machine("inner") == frozenset()
