"""A registry hive, read in a process of its own: its bytes come on standard input, what is wanted
as JSON in the first argument, and the answer goes to standard output (`regild.describe.hives`).

The library (regipy) is made for forensics. It keeps the whole hive in memory, passes over what it
cannot read, and bounds neither counts nor sizes; so this process bounds itself before it reads the
first byte, compares what came with what the hive promised, and answers in a few plain values.
"""

from __future__ import annotations

import json
import logging
import resource
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEMORY_BYTES_MAX = 1536 << 20
"""Address space: a hive of 256 MiB twice (as the file and as the library's copy), and Python."""
CPU_SECONDS_MAX = 120
KEYS_MAX = 50_000
"""Subkeys of one key that are looked at; a server of many years had 9,000 packages."""
VALUES_MAX = 1_000
TEXT_MAX = 4_096
STANDARD_INPUT = "/proc/self/fd/0"
PIECE_MAX = 0x3FD8
DAMAGE_MAX = 20
INLINE = 0x80000000
"""The bit in a value's size that says that its bytes stand where their place would."""


class Damaged(Exception):
    """The hive contradicts itself."""


def main() -> int:
    """Read, answer, end."""
    _bound_ourselves()
    wanted = json.loads(sys.argv[1])
    try:
        answer = _read(STANDARD_INPUT, wanted)
    except Exception as error:
        # Whatever the library did not foresee is a damaged hive; nothing of it is believed.
        answer = {"error": f"{type(error).__name__}: {error}"[:TEXT_MAX]}
    json.dump(answer, sys.stdout)
    return 0


def _bound_ourselves() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_MAX, CPU_SECONDS_MAX))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(file: str, wanted: list[dict[str, Any]]) -> dict[str, Any]:
    """The wanted keys of the hive, what is damaged in them, and whether it was written out; a key
    that is not there is left out.

    Raises: Damaged, and whatever the library raises.
    """
    from regipy.registry import REGF_HEADER_SIZE, Cell, NKRecord, RegistryHive

    logging.disable()  # what the library passes over with a word is found by counting
    is_clean = _check_header(file)
    NKRecord.read_value = staticmethod(_read_value)
    hive = RegistryHive(file)
    # The library takes the first cell for the root; the header says which it is.
    place = REGF_HEADER_SIZE + hive.header.root_key_offset + len(b"size") + len(b"nk")
    root = NKRecord(Cell(offset=place, cell_type="nk", size=0), hive._stream)
    keys: list[dict[str, Any]] = []
    damage: list[str] = []
    for one in wanted:
        try:
            key = _key(root, one["path"])
            if key is None:
                continue
            told: dict[str, Any] = {"path": one["path"], "subkeys": []}
            keys.append(told)
            told["values"] = _values(key, damage)
            if "subkeys" in one:
                for name, sub in _subkeys(key):
                    if name.lower().startswith(one["subkeys"].lower()):
                        told["subkeys"].append({"name": name, "values": _values(sub, damage)})
        except Damaged as error:
            damage.append(str(error))
    return {"keys": keys, "damage": damage[:DAMAGE_MAX], "clean": is_clean}


def _check_header(file: str) -> bool:
    """Whether all changes were written out of the logs: both sequence numbers are then equal.

    Raises: Damaged when the checksum does not fit (Windows registry file format, "Base block").
    """
    with Path(file).open("rb") as stream:
        head = stream.read(512)
    if len(head) < 512 or head[:4] != b"regf":
        raise Damaged("it is no registry hive")
    check = 0
    for (word,) in struct.iter_unpack("<I", head[:508]):
        check ^= word
    check = {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(check, check)
    if check != struct.unpack_from("<I", head, 508)[0]:
        raise Damaged("its header's checksum does not fit")
    first, second = struct.unpack_from("<II", head, 4)
    return bool(first == second)


def _key(root: Any, path: str) -> Any:
    """A key by its path; names are the same in upper and lower case."""
    key = root
    for name in path.split("\\"):
        found = next((sub for own, sub in _subkeys(key) if own.lower() == name.lower()), None)
        if found is None:
            return None
        key = found
    return key


def _subkeys(key: Any) -> Iterator[tuple[str, Any]]:
    """All subkeys of a key, as many as it promises.

    Raises: Damaged.
    """
    promised = key.header.subkey_count
    if promised > KEYS_MAX:
        raise Damaged(f"the key {_shown(key.name)} has {promised} subkeys")
    count = 0
    for sub in key.iter_subkeys() or ():
        count += 1
        if count > promised:
            break
        yield str(sub.name), sub
    if count != promised:
        raise Damaged(f"the key {_shown(key.name)} lists other than its {promised} subkeys")


def _values(key: Any, damage: list[str]) -> dict[str, Any]:
    """The texts and numbers among the values of a key, by name in lower case; where there are
    fewer values than it promises, that is `damage`.

    Raises: Damaged.
    """
    promised = key.header.values_count
    if promised > VALUES_MAX:
        raise Damaged(f"the key {_shown(key.name)} has {promised} values")
    found = list(key.iter_values(trim_values=False)) if promised else []
    if len(found) != promised:
        why = f"of {promised} values of the key {_shown(key.name)} {len(found)} can be read"
        damage.append(why)
    return {
        str(one.name).lower(): one.value[:TEXT_MAX] if isinstance(one.value, str) else one.value
        for one in found
        if isinstance(one.value, (str, int))
    }


def _read_value(value: Any, stream: Any) -> Any:
    """In place of the library's, which reads the rest of the hive for every number that stands
    inline (a hive of 100 MB has 100,000 of them), and takes any size for true."""
    from regipy.registry import REGF_HEADER_SIZE, VKRecord

    content = b""
    if not value.data_size & INLINE:
        stream.seek(REGF_HEADER_SIZE + 4 + value.data_offset)
        content = stream.read(value.data_size)
        # A larger value stands in pieces, and here in their list.
        if len(content) != value.data_size <= PIECE_MAX:
            raise Damaged("a value reaches over the hive's end")
    kind = value.data_type
    return VKRecord(value_type=kind, value_type_str=str(kind), value=content, size=value.data_size)


def _shown(name: object) -> str:
    return "".join(sign for sign in str(name)[:80] if sign.isprintable())


if __name__ == "__main__":
    sys.exit(main())
