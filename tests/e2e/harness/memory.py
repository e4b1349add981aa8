"""What is in the memory of a process, for tests that search it for secrets."""

import re
from pathlib import Path

import pytest

from .env import SANITIZED

_PIECE, _OVERLAP = 16 << 20, 4096


def memory_of(pid):
    """The process's readable mappings in pieces, one after the other."""
    return (piece for _, piece in _pieces_of(pid, "r"))


def writable_memory_of(pid):
    """What the process can have written to."""
    return (piece for _, piece in _pieces_of(pid, "rw"))


def _pieces_of(pid, rights):
    """Pieces with the name of the mapping: a path, [heap], [stack] or anonymous."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            match = re.match(rf"(\w+)-(\w+) {rights}\S+ \S+ \S+ \S+ *(.*)", line)
            if match and match[3] not in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                start, end = int(match[1], 16), int(match[2], 16)
                for piece in _read_mapping(memory, start, end):
                    yield match[3] or "anonymous", piece


def _read_mapping(memory, start, end):
    """A mapping in overlapping pieces, as far as it can be read."""
    while start < end:
        try:
            memory.seek(start)
            yield memory.read(min(_PIECE + _OVERLAP, end - start))
        except (OSError, OverflowError, ValueError):
            return
        start += _PIECE


def found_in(pid, wanted):
    """The names of those of `wanted` (name -> bytes) that the process has somewhere."""
    return {name for name, _ in places_in(pid, wanted)}


def places_in(pid, wanted):
    """The same as pairs of the name and the mapping it is in."""
    return {(name, place) for place, piece in _pieces_of(pid, "r")
            for name, value in wanted.items() if value in piece}


def skip_unless_readable(proxy):
    if SANITIZED:
        pytest.skip("the sanitizers map terabytes of shadow memory")
    proxy.skip_unless_inspectable()
