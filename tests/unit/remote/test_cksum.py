from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.remote.cksum import make_checksum


@given(st.binary(max_size=5000))
def test_the_checksum_is_that_of_cksum(content: bytes) -> None:
    if shutil.which("cksum") is None:
        pytest.skip("there is no cksum")
    printed = subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout.decode().strip()
    assert make_checksum(content) == printed
