"""Files that are no results: what an operating system or a crash left behind among them.

By exact rules, since a file that is taken for one of them is not sent: what NFS keeps of a deleted file that is still
open (`.nfs` and hexadecimal digits: Linux, `fs/nfs/unlink.c`), what macOS keeps beside a file on a foreign disk
(`._NAME` beside NAME: RFC 1740, Appendix B), and the memory of a process that died (`core.<process id>` that is an ELF
file of the type `ET_CORE`: elf(5)).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from hsm.endpoint import Endpoint
from hsm.model import SourceFile

_NFS = re.compile(r"\.nfs[0-9A-Fa-f]{4,}")
_CORE = re.compile(r"core\.[0-9]+", re.ASCII)
_APPLE = "._"
_ELF = b"\x7fELF"
_ET_CORE = 4
# Of an ELF file, up to the end of its type: 16 bytes that say of which kind it is, and 2 for the type.
_HEAD_BYTES = 18


def mark_junk(endpoint: Endpoint, files: Sequence[SourceFile], listed: Collection[str]) -> list[SourceFile]:
    """Mark the files that are no results; costs a session where a name looks like that of a core.

    Args:
        endpoint: The source.
        files: Of one listing.
        listed: Absolute paths of everything that may be the NAME beside a `._NAME`.
    """
    names = [file.path.rpartition("/")[2] for file in files]
    cores = [_get_path(file) for file, name in zip(files, names, strict=True) if _may_be_core(file, name)]
    heads = endpoint.read_ends(cores, n_blocks=0, head_bytes=_HEAD_BYTES) if cores else ()
    dumped = {ends.path for ends in heads if _is_core(ends.head)}
    return [
        file._replace(is_result=False) if _is_left_behind(file, name, listed) or _get_path(file) in dumped else file
        for file, name in zip(files, names, strict=True)
    ]


def may_hold_junk(paths: Iterable[str]) -> bool:
    """Tell whether one of these paths may be that of such a file; of all at once, since hardly any is."""
    text = "\0".join(paths)
    return "/." in text or "/core." in text


def _may_be_core(file: SourceFile, name: str) -> bool:
    return not file.is_link and file.size >= _HEAD_BYTES and _CORE.fullmatch(name) is not None


def _is_left_behind(file: SourceFile, name: str, listed: Collection[str]) -> bool:
    if file.is_link:
        return False
    if name.startswith(_APPLE) and len(name) > len(_APPLE):
        return f"{_get_path(file)[: -len(name)]}{name[len(_APPLE) :]}" in listed
    return _NFS.fullmatch(name) is not None


def _is_core(head: bytes) -> bool:
    if len(head) < _HEAD_BYTES or head[:4] != _ELF:
        return False
    return int.from_bytes(head[16:18], "big" if head[5] == 2 else "little") == _ET_CORE


def _get_path(file: SourceFile) -> str:
    return f"{file.prefix}/{file.path}"
