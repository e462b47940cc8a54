"""The digest of a virtual disk's bytes: the same in every format, whatever is a hole.

`mt1-sha256-1MiB:HEX` is built as follows. The disk is cut into leaves of 1 MiB; the last may be
shorter. With H = SHA-256 and || for concatenation:

    leaf  = H(0x00 || the leaf's bytes)
    node  = H(0x01 || left || right)
    root  = H(0x02 || the disk's size in bytes, 8 bytes, big-endian || the top node)

A level is made of the one below by joining its members two by two from the left; a last one
without a partner goes up as it is. (That is the tree of RFC 6962, section 2.1, with another root.)
The prefixes keep a leaf from passing for a node. A leaf of 1 MiB of zeros has a digest that is
known beforehand, so what is not allocated is never read.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from regild.image.disk import Disk
from regild.image.grains import touched_units
from regild.model.digest import Digest
from regild.model.progress import Progress, Silent

LEAF_BYTES = 1 << 20
NAME = "mt1-sha256-1MiB"
AHEAD = 8
"""Leaves that wait to be hashed while the next are read."""


def virtual_digest(disk: Disk, progress: Progress | None = None) -> Digest:
    """The digest of a virtual disk's bytes, `mt1-sha256-1MiB:` and 64 hexadecimal digits.

    Reads the allocated parts once, in order; `progress` is told bytes of the virtual disk, which
    add up to its size.

    Raises: Truncated, Malformed.
    """
    watched = progress or Silent()
    leaves = -(-disk.size // LEAF_BYTES)
    known = dict(_leaf_digests(disk, watched))
    top = _top(known, leaves, disk.size)
    root = hashlib.sha256(b"\x02" + disk.size.to_bytes(8, "big") + top)
    return Digest(f"{NAME}:{root.hexdigest()}")


def _leaf_digests(disk: Disk, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """The digest of each leaf that holds something, hashed in a thread while we read on."""
    waiting: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(max_workers=1) as pool:
        done = 0
        for number in touched_units(disk.extents(), LEAF_BYTES):
            offset = number * LEAF_BYTES
            content = disk.read(offset, min(LEAF_BYTES, disk.size - offset))
            waiting.append((number, pool.submit(_leaf, content)))
            progress.advance(offset + len(content) - done)
            done = offset + len(content)
            if len(waiting) > AHEAD:
                first, digest = waiting.popleft()
                yield first, digest.result()
        progress.advance(disk.size - done)
        for number, digest in waiting:
            yield number, digest.result()


def _top(level: dict[int, bytes], count: int, size: int) -> bytes:
    """The top node over `count` leaves; those that `level` lacks are zeros.

    Above a run of zero leaves all nodes of a level are alike, so they are made once. Only the last
    member of a level can differ from them, for the disk's end, so it is always spelled out.
    """
    blank = _leaf(bytes(LEAF_BYTES))
    last = count - 1
    level.setdefault(last, _leaf(bytes(size - last * LEAF_BYTES)))
    while count > 1:
        above: dict[int, bytes] = {}
        for number in {member // 2 for member in level}:
            left = level.get(2 * number, blank)
            alone = 2 * number + 1 == count
            above[number] = left if alone else _node(left, level.get(2 * number + 1, blank))
        level, count, blank = above, -(-count // 2), _node(blank, blank)
    return level[0]


def _leaf(content: bytes) -> bytes:
    digest = hashlib.sha256(b"\x00")
    digest.update(content)
    return digest.digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
