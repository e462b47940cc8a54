"""Files of Berkeley DB, told by what is in them, for two runs never give the same bytes.

A new database is given a number of its own, of its inode, the time, the process and chance. It
stands in the first page, and again in what is left over of the next ones, which are written out of
the same memory: two runs of `db_load` over one input differ in twelve bytes, six of each.
Source: db/db_meta.c, hash/hash_open.c of Berkeley DB 5.3; the offsets are those of dbinc/db_page.h.
"""

from __future__ import annotations

import re
import subprocess
import tempfile

MADE = b"YP_LAST_MODIFIED".hex()
_MADE = re.compile(rf"^ {MADE}\n (3[0-9])+\n", re.MULTILINE)
"""What postfix writes into each of its tables besides: when it was made, in seconds, as the tables
of NIS have it (postalias(1))."""

HEAD_BYTES = 16
MAGIC_AT = 12
MAGICS = (0x053162, 0x061561, 0x042253, 0x074582)
"""Tree, hash table, queue and heap, in the byte order of whoever made it."""


def is_database(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    found = head[MAGIC_AT:HEAD_BYTES]
    return any(found in (one.to_bytes(4, "little"), one.to_bytes(4, "big")) for one in MAGICS)


def dumped(content: bytes) -> bytes:
    """The kind, the settings and every key and value of a database, in its own order, as its own
    tool tells them, but for the time at which it was made; of one that is not whole the content
    itself."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        whole = _called("db_verify", "-q", file.name)
        told = _called("db_dump", file.name)
    if whole is None or told is None:
        return content
    return _MADE.sub(f" {MADE}\n", told.decode()).encode()


def _called(*line: str) -> bytes | None:
    done = subprocess.run(line, capture_output=True, timeout=600, check=False)
    return None if done.returncode else done.stdout
