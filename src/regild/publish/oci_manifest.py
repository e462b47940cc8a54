"""What a registry answers, read as a stranger's: manifests, indexes, lists of tags, layers.

OCI image specification 1.1 (descriptors, 2; manifests, 3; indexes, 4) and distribution
specification 1.1 (tags, 4.3; referrers, 4.6). Nothing of it is believed before it was looked at.
"""

from __future__ import annotations

import json
import re
from typing import Any

from regild.errors import Malformed, UnsafeName
from regild.model.digest import Digest
from regild.publish.target import ParcelFile

TITLE = "org.opencontainers.image.title"
BLOB_BYTES = 1 << 46
"""64 TiB, as the longest virtual disk."""

Json = dict[str, Any]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_+~=][A-Za-z0-9._+~=-]{0,254}")


def read_object(content: bytes, where: str) -> Json:
    """An answer that must be an object.

    Raises: Malformed.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Malformed(where=where, why=f"its answer is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Malformed(where=where, why="its answer is no object")
    return found


def read_list(found: Json, name: str, where: str) -> list[Any]:
    """A list of an answer; one that is null or missing is empty.

    Raises: Malformed.
    """
    listed = found.get(name)
    if not isinstance(listed, list | None):
        raise Malformed(where=where, why=f"its {name} are no list")
    return listed or []


def read_objects(found: Json, name: str, where: str) -> list[Json]:
    """A list of objects of an answer.

    Raises: Malformed.
    """
    listed = read_list(found, name, where)
    if not all(isinstance(one, dict) for one in listed):
        raise Malformed(where=where, why=f"one of its {name} is no object")
    return listed


def read_layers(manifest: Json, where: str) -> tuple[ParcelFile, ...]:
    """The layers of a manifest, no two of which have one name.

    Raises: Malformed, UnsafeName.
    """
    found = tuple(read_blob(one, where) for one in read_list(manifest, "layers", where))
    if len({one.name for one in found}) < len(found):
        raise Malformed(where=where, why="two of its layers have one name")
    return found


def read_blob(described: object, where: str) -> ParcelFile:
    """What a descriptor points at; its name is its title, else made of its digest.

    Raises: Malformed, UnsafeName.
    """
    if not isinstance(described, dict):
        raise Malformed(where=where, why="one of its descriptors is none")
    digest, size = described.get("digest"), described.get("size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise Malformed(where=where, why="one of its descriptors has no SHA-256 digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= BLOB_BYTES:
        raise Malformed(where=where, why="one of its descriptors has no size")
    told = described.get("annotations")
    title = told.get(TITLE) if isinstance(told, dict) else None
    name = title or f"{digest[7:19]}.bin"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnsafeName(where=where, why=f"a layer calls itself {str(name)[:80]!r}")
    return ParcelFile(name, Digest(digest), size)
