"""Files served to this machine's kernel through /dev/fuse: a tree that never changes.

Only the kernel's own protocol, and of that only what reading takes; whatever else is asked for is
answered as by a filesystem that lacks it. Nothing is mounted here: whoever may mount hands over the
opened device, and the process that serves needs no right at all.
Source: include/uapi/linux/fuse.h of the Linux kernel, protocol 7.31 and newer; fuse(4).
"""

from __future__ import annotations

import errno
import os
import select
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

DEVICE: Final = Path("/dev/fuse")
NUMBER: Final = (10, 229)
"""Major and minor number (Documentation/admin-guide/devices.txt)."""
ROOT: Final = 1
"""FUSE_ROOT_ID, the number of the tree's own folder."""

MAJOR, MINOR = 7, 31
ASYNC_READ, NO_OPEN, POSIX_ACL, MAX_PAGES = 1 << 0, 1 << 17, 1 << 20, 1 << 22
NO_OPENDIR, WANTED = 1 << 24, ASYNC_READ | NO_OPEN | POSIX_ACL | MAX_PAGES | 1 << 24
PAGES = 256
WRITE_BYTES = 4096
"""What a request of the kernel's may carry; it never writes."""
REQUEST_BYTES = 0x21000
"""FUSE_MIN_READ_BUFFER is 8 KiB; the kernel wants room for the largest request that it may send."""
FOR_EVER = 1 << 31
"""Seconds for which the kernel may keep what it was told."""
READ_BYTES_MAX = PAGES << 12

IN = struct.Struct("<IIQQIII4x")
OUT = struct.Struct("<IiQ")
INIT_IN, INIT_OUT = struct.Struct("<IIII"), struct.Struct("<IIIIHHIIHH32x")
ENTRY = struct.Struct("<QQQQII")
ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
STAT = struct.Struct("<QII")
READ_IN = struct.Struct("<QQI")
NAME_BYTES_IN = struct.Struct("<II")
SEEK_IN, SEEK_OUT = struct.Struct("<QQI"), struct.Struct("<Q")
STATFS = struct.Struct("<QQQQQIIII24x")
DIRENT = struct.Struct("<QQII")
SECTOR_BYTES = 512


class Told(NamedTuple):
    """What stat(2) says of a file or folder."""

    number: int
    """Its inode's, for whoever asks; not the one that it is served under."""
    mode: int
    """With the type."""
    links: int = 1
    uid: int = 0
    gid: int = 0
    size: int = 0
    held: int = 0
    """Bytes that are not holes."""
    mtime_ns: int = 0


class Served(Protocol):
    """A tree to serve; everything in it has a number, the root folder `ROOT`.

    What fails is raised as OSError, or as anything else, which is told as an input error.
    """

    def find(self, folder: int, name: bytes) -> int:
        """The number of what stands in a folder under a name; 0 for nothing."""

    def tell(self, number: int) -> Told:
        """What it is."""

    def names(self, folder: int, begin: int) -> Iterator[tuple[bytes, int, int]]:
        """What stands in a folder, from some place in its order on: a name, the number of its
        inode, and its type as in a mode."""

    def read(self, number: int, offset: int, length: int) -> bytes:
        """A part of a file; less only at its end."""

    def seek(self, number: int, offset: int, hole: bool) -> int:
        """Where from an offset on the next hole, or else the next content begins.

        Raises: OSError ENXIO where there is none.
        """

    def attributes(self, number: int) -> Mapping[bytes, bytes]:
        """Its extended attributes."""


def find_device(folder: Path) -> Path | None:
    """The device through which whoever is in a name space of ours may have files served; None
    where this machine has none for us.

    It is open to everybody where udev looks after devices. Elsewhere root makes one more in
    `folder`, which is nobody else's to look into.
    """
    try:
        status = DEVICE.stat()
    except OSError:
        return None
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(*NUMBER):
        return None
    if status.st_mode & 0o006 == 0o006:
        return DEVICE
    if os.geteuid() != 0:
        return None
    made = folder / "fuse"
    try:
        made.unlink(missing_ok=True)
        os.mknod(made, stat.S_IFCHR | 0o666, os.makedev(*NUMBER))
        made.chmod(0o666)
    except OSError:
        return None
    return made


def options(handle: int) -> str:
    """For mount(8): the opened device, and that every user of the name space may look."""
    mode = f"{stat.S_IFDIR:o}"
    return f"fd={handle},rootmode={mode},user_id=0,group_id=0,allow_other,default_permissions"


class Server:
    """Answers what the kernel asks of a tree, until it is told to end or the tree is unmounted."""

    def __init__(self, handle: int, served: Served) -> None:
        self._handle, self._served = handle, served
        self.requests = 0
        self.failed: Exception | None = None
        """The first thing that went wrong with what was asked."""
        self._answers: dict[int, Callable[[int, memoryview], bytes]] = {
            1: self._look_up,
            3: self._stat,
            15: self._read,
            17: self._statfs,
            22: self._attribute,
            23: self._attributes,
            26: self._init,
            28: self._names,
            46: self._seek,
        }

    def serve(self, end: int) -> None:
        """Answer until the other side of the pipe `end` is closed."""
        waiting = select.poll()
        for handle in (self._handle, end):
            waiting.register(handle, select.POLLIN)
        room = bytearray(REQUEST_BYTES)
        while True:
            ready = dict(waiting.poll())
            if end in ready:
                return
            if ready and not self._answer_one(room):
                return

    def _answer_one(self, room: bytearray) -> bool:
        """Answer a request; False when the tree is mounted no longer."""
        try:
            length = os.readv(self._handle, [room])
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                return True  # it was called off
            if error.errno == errno.ENODEV:
                return False
            raise
        self.requests += 1
        _, opcode, unique, number, *_ = IN.unpack_from(room)
        if opcode in FORGOTTEN:
            return True
        code, answer = self._answered(opcode, number, memoryview(room)[IN.size : length])
        head = OUT.pack(OUT.size + len(answer), -code, unique)
        try:
            os.writev(self._handle, [head, answer])
        except OSError as error:
            if error.errno != errno.ENOENT:  # whoever asked is gone
                raise
        return True

    def _answered(self, opcode: int, number: int, asked: memoryview) -> tuple[int, bytes]:
        act = self._answers.get(opcode)
        if act is None:
            return errno.ENOSYS, b""
        try:
            return 0, act(number, asked)
        except OSError as error:
            if error.errno in EXPECTED:
                return error.errno, b""
            self.failed = self.failed or error
        except Exception as error:  # whatever it was, the kernel waits, and `failed` tells of it
            self.failed = self.failed or error
        return errno.EIO, b""

    def _init(self, _number: int, asked: memoryview) -> bytes:
        major, minor, ahead, offered = INIT_IN.unpack_from(asked)
        if major != MAJOR or minor < MINOR:
            raise OSError(errno.EPROTO, f"the kernel speaks {major}.{minor}")
        flags = WANTED & offered
        return INIT_OUT.pack(MAJOR, MINOR, ahead, flags, 0, 0, WRITE_BYTES, 1, PAGES, 0)

    def _look_up(self, folder: int, asked: memoryview) -> bytes:
        found = self._served.find(folder, bytes(asked).rstrip(b"\0"))
        # A name that is not there may be remembered too: the number 0 says so.
        told = self._told(found) if found else bytes(ATTRIBUTES.size)
        return ENTRY.pack(found, 0, FOR_EVER, FOR_EVER, 0, 0) + told

    def _stat(self, number: int, _asked: memoryview) -> bytes:
        return STAT.pack(FOR_EVER, 0, 0) + self._told(number)

    def _told(self, number: int) -> bytes:
        told = self._served.tell(number)
        seconds, nanoseconds = divmod(told.mtime_ns, 1_000_000_000)
        sectors = -(-told.held // SECTOR_BYTES)
        times = (seconds & (1 << 64) - 1,) * 3 + (nanoseconds,) * 3
        owner = told.mode, told.links, told.uid, told.gid
        return ATTRIBUTES.pack(told.number, told.size, sectors, *times, *owner, 0, 4096, 0)

    def _read(self, number: int, asked: memoryview) -> bytes:
        _, offset, length = READ_IN.unpack_from(asked)
        return self._served.read(number, offset, min(length, READ_BYTES_MAX))

    def _seek(self, number: int, asked: memoryview) -> bytes:
        _, offset, whence = SEEK_IN.unpack_from(asked)
        if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "an unknown way to seek")
        return SEEK_OUT.pack(self._served.seek(number, offset, whence == os.SEEK_HOLE))

    def _names(self, folder: int, asked: memoryview) -> bytes:
        _, begin, most = READ_IN.unpack_from(asked)
        found, place = bytearray(), begin
        for name, number, kind in self._served.names(folder, begin):
            place += 1
            row = DIRENT.pack(number, place, len(name), kind >> 12) + name
            row += bytes(-len(row) % 8)
            if len(found) + len(row) > most:
                break
            found += row
        return bytes(found)

    def _attribute(self, number: int, asked: memoryview) -> bytes:
        most, _ = NAME_BYTES_IN.unpack_from(asked)
        name = bytes(asked[NAME_BYTES_IN.size :]).rstrip(b"\0")
        value = self._served.attributes(number).get(name)
        if value is None:
            raise OSError(errno.ENODATA, "no such attribute")
        return _fitted(value, most)

    def _attributes(self, number: int, asked: memoryview) -> bytes:
        most, _ = NAME_BYTES_IN.unpack_from(asked)
        names = b"".join(name + b"\0" for name in self._served.attributes(number))
        return _fitted(names, most)

    def _statfs(self, _number: int, _asked: memoryview) -> bytes:
        return STATFS.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)


FORGOTTEN: Final = (2, 36, 42)
"""FORGET, INTERRUPT and BATCH_FORGET: no answer is waited for, and every number stays good."""
EXPECTED: Final = (errno.ENODATA, errno.ERANGE, errno.ENXIO, errno.EINVAL)
"""Answers to a question, not failures."""


def _fitted(value: bytes, most: int) -> bytes:
    """An attribute, or its length where that is asked for (getxattr(2))."""
    if not most:
        return NAME_BYTES_IN.pack(len(value), 0)
    if len(value) > most:
        raise OSError(errno.ERANGE, "it is longer")
    return value
