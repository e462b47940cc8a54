"""The other end of `host.child`, in the process that answers: it starts with this and little else.

Questions and answers are bytes, each after its length (8 bytes, big-endian).
"""

from __future__ import annotations

import struct
from typing import IO

LENGTH = struct.Struct(">Q")


def read_question(pipe: IO[bytes]) -> bytes | None:
    """The next question; None when there will be no more."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    return pipe.read(length)


def write_answer(pipe: IO[bytes], answer: bytes) -> None:
    """Answer the question."""
    pipe.write(LENGTH.pack(len(answer)) + answer)
    pipe.flush()
