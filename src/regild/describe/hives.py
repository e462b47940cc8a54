"""The keys of a registry hive, read by a process of its own that may break without breaking us."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from regild.errors import CommandFailed, Malformed
from regild.host.run import run

SECONDS_MAX = 300
ANSWER_BYTES_MAX = 32 << 20

Values = Mapping[str, str | int]
"""Texts and numbers, by their names in lower case."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key to read; with `subkeys` also those below it whose names begin so."""

    path: str
    subkeys: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """What a key holds."""

    values: Values = field(default_factory=dict)
    subkeys: tuple[tuple[str, Values], ...] = ()

    def text(self, name: str) -> str:
        """A value as text; empty where there is none."""
        return text_of(self.values, name)

    def number(self, name: str) -> int:
        """A value as a number; 0 where there is none."""
        return number_of(self.values, name)


@dataclass(frozen=True, slots=True)
class Hive:
    """The keys that were wanted and are there, and what of them could not be read."""

    keys: Mapping[str, Key]
    damage: tuple[str, ...]

    def key(self, path: str) -> Key:
        """A key; an empty one where the hive has none."""
        return self.keys.get(path, Key())


def read_hive(content: bytes, wanted: Sequence[Wanted], where: str) -> Hive:
    """Read some keys of a hive.

    Raises: Malformed when it is none, is too damaged, or takes too much to read.
    """
    asked = [
        {"path": one.path} if one.subkeys is None else {"path": one.path, "subkeys": one.subkeys}
        for one in wanted
    ]
    try:
        answered = run(
            [sys.executable, "-I", "-m", "regild.describe.hive_apart", json.dumps(asked)],
            purpose="to read the registry",
            stdin=content,
            timeout_seconds=SECONDS_MAX,
            output_bytes=ANSWER_BYTES_MAX,
        )
        answer = json.loads(answered.stdout)
    except (CommandFailed, ValueError, RecursionError) as error:
        raise Malformed(where=where, why="reading it takes too much time or memory") from error
    if "error" in answer:
        raise Malformed(where=where, why=printable(str(answer["error"])))
    damage = [printable(str(one)) for one in answer["damage"]]
    if not answer["clean"]:
        damage.append("it was not written out; its log holds changes that were not read")
    return Hive({one["path"]: _key(one) for one in answer["keys"]}, tuple(damage))


def text_of(values: Values, name: str) -> str:
    """A value as text, without what would disturb a terminal; empty where there is none."""
    value = values.get(name.lower(), "")
    return printable(str(value))


def number_of(values: Values, name: str) -> int:
    """A value as a number; 0 where there is none, or another kind of value."""
    value = values.get(name.lower(), 0)
    return value if isinstance(value, int) else 0


def printable(text: str) -> str:
    """A text of a stranger without what would disturb a terminal or cannot be written."""
    return "".join(sign for sign in text if sign.isprintable()).strip()


def _key(told: Mapping[str, Any]) -> Key:
    return Key(
        values=told.get("values", {}),
        subkeys=tuple((printable(one["name"]), one["values"]) for one in told["subkeys"]),
    )
