"""A target: a parser, inputs that it understands, and what every target has at hand."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from regild.errors import RegildError

READ_MAX = 1 << 20


class Target(NamedTuple):
    """A parser, and inputs that it understands."""

    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]


def run_target(target: Target, content: bytes) -> bool:
    """Whether the input was read; an error of ours says no in a sentence.

    Raises: whatever else went wrong, which is a finding.
    """
    try:
        target.run(content)
    except RegildError as error:
        assert str(error)
        return False
    return True


def file_of(content: bytes, suffix: str = "") -> Path:
    path = folder() / f"input{suffix}"
    path.write_bytes(content)
    return path


@functools.cache
def folder() -> Path:
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="regild-fuzz-", dir=place))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def texts(*lines: str) -> Callable[[], Iterable[bytes]]:
    """Seeds that are plain text."""
    return lambda: [line.encode() for line in lines]


def shared(folder: str, pattern: str, limit: int) -> Iterator[bytes]:
    """Files of the shared corpus that are not too long; none where it is absent."""
    place = Path(__file__).parents[3].parent / "shared/corpus" / folder
    for path in sorted(place.rglob(pattern)) if place.is_dir() else ():
        if path.stat().st_size <= limit:
            yield path.read_bytes()
