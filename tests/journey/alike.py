"""Files that no two runs write alike, told by what they say.

**Databases of Berkeley DB.** A new one is given a number of its own, of its inode, the time, the
process and chance. It stands in the first page, and again in what is left over of the next ones,
which are written out of the same memory: two runs of `db_load` over one input differ in twelve
bytes, six of each. postfix's tables also hold the time of their making, as those of NIS do
(postalias(1)).
Source: db/db_meta.c, hash/hash_open.c of Berkeley DB 5.3; the offsets are those of dbinc/db_page.h.

**The index of manuals of Info.** update-info-dir(8) takes them in the order in which find(1) comes
to them, and so does the index within a section: the same ext4 under another hash seed gives another
one, of the same lines.

**What doc-base knows of its files**: when each was changed last (ctime), in seconds.

**Keys.** tripwire's script makes one for a machine whose name it has not seen, and signs its
settings and its policy anew at each configuration: two runs in the same chroot differ in all three.
Of such a file the size is compared, and all but its content.
"""

from __future__ import annotations

import re
import subprocess
import tempfile

HEAD_BYTES = 16
MAGIC_AT = 12
MAGICS = (0x053162, 0x061561, 0x042253, 0x074582)
"""Tree, hash table, queue and heap, in the byte order of whoever made it."""
UNORDERED = re.compile(r"/usr/share/info/dir(\.old)?")
TIMED = "/var/lib/doc-base/info/files.yml"
_CHANGED = re.compile(rb"^  CT: [0-9]+$", re.MULTILINE)
BY_CHANCE = re.compile(r"/etc/tripwire/([^/]+-local\.key|site\.key|tw\.(cfg|pol)(\.bak)?)")
MADE = b"YP_LAST_MODIFIED".hex()
_MADE = re.compile(rf"^ {MADE}\n (3[0-9])+\n", re.MULTILINE)
"""A row of postfix's tables, in hexadecimal digits: a number of seconds."""


def is_special(path: str, head: bytes) -> bool:
    """Whether a file of a guest, which begins so, is such a one."""
    named = UNORDERED.fullmatch(path) or BY_CHANCE.fullmatch(path)
    return named is not None or path == TIMED or is_database(head)


def said(path: str, content: bytes) -> bytes:
    """What such a file says."""
    if BY_CHANCE.fullmatch(path):
        return b""
    if path == TIMED:
        return _CHANGED.sub(b"  CT:", content)
    if UNORDERED.fullmatch(path):
        return b"".join(sorted(content.splitlines(keepends=True)))
    return dumped(content)


def is_database(head: bytes) -> bool:
    """Whether a file that begins so is one of Berkeley DB."""
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
