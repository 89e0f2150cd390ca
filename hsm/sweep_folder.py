"""Ids of sweeps, and their paths below a folder of sweeps, the same at every machine. Pure.

A sweep that is no folder has the name that logs give: a W&B sweep's, or a group's. Such a name may hold anything; an id
is the file name of the sweep's journal and the name of its folder of receipts.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

OUTPUTS = "outputs"
"""The folder, in a folder of sweeps or in the project itself, that holds the folders of sweeps."""

RECEIPT_FOLDER = ".hsm-sync"
"""The folder of HSM's own files at a destination: receipts and the lock."""

LOOSE = "@loose"
"""The id of the sweep of all runs that no other sweep claims."""

MOST_ID_BYTES = 200
"""Of an id; a file's name ends at 255 bytes, and the journal's lock and what is written beside it need the rest."""

_HASH_DIGITS = 8
_ESCAPED = re.compile("[%/\x00-\x1f\x7f-\x9f\ud800-\udfff]|\\.(?=\\.)|(?<=\\.)\\.|^[.@-]")
# `outputs/wandb` is a wandb folder, so no sweep has this name.
_TAKEN = re.compile(r"^(?=wandb$)w")


def sweep_folder(sweep: str, place: str = "") -> str:
    """Return a sweep's folder, relative to the folder of sweeps.

    Args:
        sweep: The sweep's id.
        place: Of a Hydra sweep: its folder relative to the project, which is the answer.
    """
    return place or f"{OUTPUTS}/{sweep}"


def receipt_folder(sweep: str) -> str:
    """Return the folder of a sweep's receipts, relative to the folder of sweeps."""
    return f"{OUTPUTS}/{sweep}/{RECEIPT_FOLDER}"


def make_hydra_id(place: str) -> str:
    """Make the id of a Hydra sweep of its folder's path below the project, `/` as `_`."""
    return make_sweep_id(place.replace("/", "_"))


def make_sweep_id(name: str) -> str:
    """Make the id of a name: `%`, `/`, control characters, a leading `.`, `-` or `@`, and `..` become `%XX`.

    Ids over 200 bytes are cut, and get eight hexadecimal digits of their hash (SHA-256 of the name in UTF-8).
    """
    found = _TAKEN.sub(_escape, _ESCAPED.sub(_escape, name))
    encoded = found.encode()
    if len(encoded) <= MOST_ID_BYTES:
        return found
    return _add_hash(encoded[: MOST_ID_BYTES - _HASH_DIGITS - 1].decode(errors="ignore"), name)


def iter_sweep_ids(name: str) -> Iterator[str]:
    """Yield every id that a name may have, whatever other names there are: its own, and the one with a hash."""
    plain = make_sweep_id(name)
    yield plain
    yield _make_hashed_id(plain, name)


def assign_ids(names: Iterable[str], folders: Iterable[str] = ()) -> Mapping[str, str]:
    """Give every name its id: names whose ids differ in case alone get the hash, since a disk may take them for one.

    Args:
        names: As logs give them.
        folders: Ids that are taken, which keep theirs: of folder sweeps, and of sweeps that were synced before. A name
            whose id is equal to one is the same sweep.

    Returns:
        Name -> id.
    """
    own = frozenset(folders)
    plain = {name: name if name in own else make_sweep_id(name) for name in names}
    alike: dict[str, set[str]] = {}
    for found in (*plain.values(), *own):
        alike.setdefault(_fold(found), set()).add(found)
    return {
        name: found if found in own or len(alike[_fold(found)]) == 1 else _make_hashed_id(found, name)
        for name, found in plain.items()
    }


def _escape(match: re.Match[str]) -> str:
    # A surrogate is a byte that was no UTF-8; it has no form in a file name of every system.
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _make_hashed_id(plain: str, name: str) -> str:
    if len(make_sweep_id(name).encode()) > MOST_ID_BYTES - _HASH_DIGITS - 1:
        cut = plain.encode()[: MOST_ID_BYTES - _HASH_DIGITS - 1].decode(errors="ignore")
        return _add_hash(cut, name)
    return _add_hash(plain, name)


def _add_hash(found: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{found}-{digest[:_HASH_DIGITS]}"


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
