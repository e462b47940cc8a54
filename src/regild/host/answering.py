"""How processes of regild's own speak with one another: what the one that answers starts with, and
what is made of its errors.

Questions and answers of `host.child` are bytes, each after its length (8 bytes, big-endian).
"""

from __future__ import annotations

import contextlib
import struct
from typing import IO, Any

from regild import errors
from regild.errors import HostError, RegildError

LENGTH = struct.Struct(">Q")
LOG_TAIL_BYTES = 2000
"""Of what a process complained of, when it ended without an answer."""


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


def rebuild_error(told: dict[str, Any], title: str) -> RegildError:
    """The error that another process told of, if it is one of ours."""
    found, facts = vars(errors).get(str(told["error"])), told.get("facts")
    if isinstance(found, type) and issubclass(found, RegildError) and isinstance(facts, dict):
        with contextlib.suppress(TypeError):
            return found(**{key: _tupled(value) for key, value in facts.items()})
    return HostError(where=title, why="it told of an error that does not exist")


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
