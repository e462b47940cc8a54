"""The packages of apk's database with their paths: the blocks of an index, followed by a line for
each folder and file (apk-tools, `lib/apk/db/installed`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from regild.errors import Malformed, TooLarge

FILES_LIMIT: Final = 4_000_000
ALGORITHMS: Final = {"Q1": "sha1", "Q2": "sha256"}


@dataclass(slots=True)
class Installed:
    """One package as the database has it."""

    name: str = ""
    version: str = ""
    identity: str = ""
    """The digest of its control part, as an index writes it."""
    broken: str = ""
    """`f`, `s` and `x`: files, scripts or attributes that could not be brought."""
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By path: algorithm and digits of a content, or of a link's target."""
    folders: list[str] = field(default_factory=list)


def read_database(text: str, where: str) -> Iterator[Installed]:
    """Every package with its paths.

    Raises: Malformed, TooLarge.
    """
    one, folder, file, left = Installed(), "", "", FILES_LIMIT
    for line in text.split("\n"):
        letter, value = line[:1], line[2:]
        if not line:
            if one.name:
                yield one
            one, folder, file = Installed(), "", ""
        elif line[1:2] != ":":
            raise Malformed(where=where, why=f"{line[:60]!r} is no field of a package")
        elif letter == "F":
            folder, file = f"/{value}".rstrip("/"), ""
            one.folders.append(folder)
        elif letter == "R":
            file = f"{folder}/{value}"
            one.files[file] = ("", "")
            left -= 1
        elif letter == "Z":
            one.files[file] = read_sum(value)
        else:
            _note(one, letter, value)
        if left < 0 or (letter == "F" and len(one.folders) > FILES_LIMIT):
            raise TooLarge(where=where, why=f"it lists more than {FILES_LIMIT} paths")
    if one.name:
        raise Malformed(where=where, why="it ends in the middle of a package")


def _note(one: Installed, letter: str, value: str) -> None:
    match letter:
        case "P":
            one.name = value
        case "V":
            one.version = value
        case "C":
            one.identity = value
        case "f":
            one.broken = "".join(sign for sign in value if sign in "fsx")


def read_sum(text: str) -> tuple[str, str]:
    """A sum's algorithm and its hexadecimal digits; empty where it is of no known kind."""
    try:
        content = base64.b64decode(text[2:], validate=True)
    except (binascii.Error, ValueError):
        return "", ""
    return ALGORITHMS.get(text[:2], ""), content.hex()
