"""The ext2/3/4 library of e2fsprogs over block devices of our own: no root, no mount.

libext2fs asks for blocks through an io_manager, a table of functions; here they are Python's, so
that the filesystem inside an appliance is changed through our own copy-on-write layer. Only the
library's own checks stand between us and a hostile filesystem: run this in a name space.
Source: ext2fs/ext2fs.h and ext2_io.h of e2fsprogs 1.47 (soname libext2fs.so.2).
"""

from __future__ import annotations

import ctypes.util
from collections.abc import Callable, Iterator
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int,
    c_long,
    c_size_t,
    c_uint,
    c_uint32,
    c_ulong,
    c_ulonglong,
    c_void_p,
)
from typing import Any, Protocol

from regild.errors import Malformed, ToolMissing

MAGIC_IO_CHANNEL = 2133571333
MAGIC_IO_MANAGER = 2133571335
DIR_NO_SPACE = 2133571366
SHORT_READ = 2133571377
FLAG_RW = 0x01
FLAG_64BITS = 0x20000
FALLOCATE_FORCE_INIT = 0x2
DIRENT_OTHER_FILE, DIRENT_ABORT = 3, 2

OPEN = CFUNCTYPE(c_long, c_char_p, c_int, POINTER(c_void_p))
CHANNEL = CFUNCTYPE(c_long, c_void_p)
SET_SIZE = CFUNCTYPE(c_long, c_void_p, c_int)
BLOCKS = CFUNCTYPE(c_long, c_void_p, c_ulong, c_int, c_void_p)
BLOCKS64 = CFUNCTYPE(c_long, c_void_p, c_ulonglong, c_int, c_void_p)
BYTES = CFUNCTYPE(c_long, c_void_p, c_ulong, c_int, c_void_p)
RANGE64 = CFUNCTYPE(c_long, c_void_p, c_ulonglong, c_ulonglong)
ENTRY = CFUNCTYPE(c_int, c_uint32, c_int, c_void_p, c_int, c_int, c_void_p, c_void_p)
ATTRIBUTE = CFUNCTYPE(c_int, c_char_p, c_void_p, c_size_t, c_void_p)


class _Channel(Structure):
    _fields_ = (
        ("magic", c_long),
        ("manager", c_void_p),
        ("name", c_char_p),
        ("block_size", c_int),
        ("read_error", c_void_p),
        ("write_error", c_void_p),
        ("refcount", c_int),
        ("flags", c_int),
        ("reserved", c_long * 14),
        ("private_data", c_void_p),
        ("app_data", c_void_p),
        ("align", c_int),
    )


class _Manager(Structure):
    _fields_ = (
        ("magic", c_long),
        ("name", c_char_p),
        ("open", OPEN),
        ("close", CHANNEL),
        ("set_blksize", SET_SIZE),
        ("read_blk", BLOCKS),
        ("write_blk", BLOCKS),
        ("flush", CHANNEL),
        ("write_byte", BYTES),
        ("set_option", c_void_p),
        ("get_stats", c_void_p),
        ("read_blk64", BLOCKS64),
        ("write_blk64", BLOCKS64),
        ("discard", c_void_p),
        ("cache_readahead", c_void_p),
        ("zeroout", c_void_p),
        ("reserved", c_long * 14),
    )


class _Filesystem(Structure):
    """The head of struct_ext2_filsys, as far as it is read here."""

    _fields_ = (
        ("magic", c_long),
        ("io", c_void_p),
        ("flags", c_int),
        ("device_name", c_char_p),
        ("super", c_void_p),
        ("blocksize", c_uint),
        ("fragsize", c_int),
        ("group_desc_count", c_uint32),
        ("desc_blocks", c_ulong),
        ("group_desc", c_void_p),
        ("inode_blocks_per_group", c_uint),
        ("inode_map", c_void_p),
        ("block_map", c_void_p),
    )


class Device(Protocol):
    """Where the filesystem's bytes are; offsets count from its first byte."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""

    def write(self, offset: int, content: bytes) -> None:
        """Put some bytes."""


class Library:
    """One opened filesystem; every method is a call of the library, its errors made ours.

    Raises: ToolMissing when libext2fs is not installed, Malformed when the filesystem cannot be
    opened or a call fails on it.
    """

    def __init__(self, device: Device, where: str, writable: bool) -> None:
        self.where = where
        self._lib = _load()
        self._device = device
        self._channel = _Channel()
        self._failed: BaseException | None = None
        self._manager = self._make_manager()
        self._fs = c_void_p()
        flags = FLAG_64BITS | (FLAG_RW if writable else 0)
        self.call(
            "ext2fs_open2", b"regild", None, flags, 0, 0, byref(self._manager), byref(self._fs)
        )
        self.head = ctypes.cast(self._fs, POINTER(_Filesystem)).contents

    @property
    def block_bytes(self) -> int:
        """Bytes of a block."""
        return int(self.head.blocksize)

    def close(self) -> None:
        """Write what is pending and let the filesystem go."""
        if self._fs:
            self.call("ext2fs_close_free", byref(self._fs))

    def call(self, name: str, *arguments: Any, allow: tuple[int, ...] = ()) -> int:
        """Call a function that returns an errcode_t; `allow` names codes that are no failure.

        Raises: Malformed with the library's own sentence; whatever a device's read or write raised.
        """
        code = int(getattr(self._lib, name)(*arguments))
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        if code != 0 and code not in allow:
            raise Malformed(where=self.where, why=f"{name}: {self._say(code)}")
        return code

    def fs_call(self, name: str, *arguments: Any, allow: tuple[int, ...] = ()) -> int:
        """As `call`, with the filesystem as the first argument."""
        return self.call(name, self._fs, *arguments, allow=allow)

    def fs_do(self, name: str, *arguments: Any) -> None:
        """Call a function that returns nothing, with the filesystem as the first argument."""
        getattr(self._lib, name)(self._fs, *arguments)

    def scan_inodes(self, inode_bytes: int) -> Iterator[tuple[int, bytes]]:
        """Every inode, in use or not, in order: its number and its raw bytes."""
        scan, number = c_void_p(), c_uint32()
        room = ctypes.create_string_buffer(inode_bytes)
        self.fs_call("ext2fs_open_inode_scan", 64, byref(scan))
        try:
            while True:
                self.call("ext2fs_get_next_inode_full", scan, byref(number), room, inode_bytes)
                if number.value == 0:
                    return
                yield number.value, room.raw
        finally:
            self._lib.ext2fs_close_inode_scan(scan)

    def read_inode(self, number: int, inode_bytes: int) -> bytes:
        """One inode's raw bytes."""
        room = ctypes.create_string_buffer(inode_bytes)
        self.fs_call("ext2fs_read_inode_full", number, room, inode_bytes)
        return room.raw

    def write_inode(self, number: int, raw: bytes) -> None:
        """Put one inode's raw bytes; the library renews its checksum."""
        room = ctypes.create_string_buffer(raw, len(raw))
        self.fs_call("ext2fs_write_inode_full", number, room, len(raw))

    def find_free_inode(self, folder: int, mode_bits: int) -> int:
        """A free inode near a folder; it is taken only when something is made in it."""
        number = c_uint32()
        self.fs_call("ext2fs_new_inode", folder, mode_bits, None, byref(number))
        return number.value

    def write_new_inode(self, number: int, raw: bytes) -> None:
        """Put a fresh inode's raw bytes; the library settles its extra fields."""
        room = ctypes.create_string_buffer(raw, len(raw))
        self.fs_call("ext2fs_write_new_inode", number, room)

    def read_names(self, directory: int, most: int) -> list[tuple[bytes, int]]:
        """The names in a directory with their inode numbers, without `.` and `..`.

        It stops one after `most`.
        """
        found: list[tuple[bytes, int]] = []

        def take(_dir: int, kind: int, entry: int, *_rest: object) -> int:
            """Note one entry of the folder, and stop at the most that are wanted."""
            number = c_uint32.from_address(entry).value
            length = ctypes.c_uint8.from_address(entry + 6).value
            name = ctypes.string_at(entry + 8, length)
            if kind >= DIRENT_OTHER_FILE or name not in (b".", b".."):
                found.append((name, number))
            return DIRENT_ABORT if len(found) > most else 0

        self.fs_call("ext2fs_dir_iterate2", directory, 0, None, ENTRY(take), None)
        return found

    def read_bitmap(self, first: int, count: int) -> bytes:
        """The block bitmap (read before) from a block on, lowest bit first; padded with ones."""
        room = ctypes.create_string_buffer(b"\xff" * (-(-count // 8)), -(-count // 8))
        whole = count // 8 * 8
        self.call("ext2fs_get_block_bitmap_range2", self.head.block_map, first, whole, room)
        return room.raw

    def read_attributes(self, number: int) -> dict[str, bytes]:
        """The extended attributes of an inode as system calls would give them."""
        names: list[bytes] = []

        def take(name: bytes, _value: int, _length: int, _rest: object) -> int:
            names.append(name)
            return 0

        with _Attributes(self, number) as handle:
            self.call("ext2fs_xattrs_iterate", handle, ATTRIBUTE(take), None)
            return {
                name.decode(errors="surrogateescape"): self._get(handle, name) for name in names
            }

    def write_attributes(self, number: int, wanted: dict[str, bytes], gone: list[str]) -> None:
        """Set and remove extended attributes of an inode."""
        with _Attributes(self, number) as handle:
            for name in gone:
                self.call("ext2fs_xattr_remove", handle, name.encode(errors="surrogateescape"))
            for name, value in wanted.items():
                key = name.encode(errors="surrogateescape")
                self.call("ext2fs_xattr_set", handle, key, value, len(value))

    def _get(self, handle: c_void_p, name: bytes) -> bytes:
        value, length = c_void_p(), c_size_t()
        self.call("ext2fs_xattr_get", handle, name, byref(value), byref(length))
        try:
            return ctypes.string_at(value, length.value) if value else b""
        finally:
            self._lib.ext2fs_free_mem(byref(value))

    def _say(self, code: int) -> str:
        text = self._lib.error_message(code)
        return text.decode(errors="replace") if text else f"error {code}"

    def _make_manager(self) -> _Manager:
        """The io_manager whose functions read and write our device."""
        manager = _Manager(magic=MAGIC_IO_MANAGER, name=b"regild")
        channel = self._channel

        def opened(_name: bytes, _flags: int, place: Any) -> int:
            """Hand out the one channel there is."""
            channel.magic, channel.block_size, channel.refcount = MAGIC_IO_CHANNEL, 1024, 1
            channel.manager = ctypes.addressof(manager)
            channel.name = b"regild"
            place[0] = ctypes.addressof(channel)
            return 0

        def sized(_channel: int, size: int) -> int:
            channel.block_size = size
            return 0

        def read(_channel: int, block: int, count: int, place: int) -> int:
            """Read blocks, or bytes where the count is negative."""

            def act() -> None:
                content = self._device.read(block * channel.block_size, _span(channel, count))
                ctypes.memmove(place, content, len(content))

            return self._guarded(act)

        def write(_channel: int, block: int, count: int, place: int) -> int:
            """Write blocks, or bytes where the count is negative."""

            def act() -> None:
                content = ctypes.string_at(place, _span(channel, count))
                self._device.write(block * channel.block_size, content)

            return self._guarded(act)

        def write_bytes(_channel: int, offset: int, count: int, place: int) -> int:
            return self._guarded(lambda: self._device.write(offset, ctypes.string_at(place, count)))

        manager.open, manager.set_blksize = OPEN(opened), SET_SIZE(sized)
        manager.close = manager.flush = CHANNEL(lambda _channel: 0)
        manager.read_blk, manager.write_blk = BLOCKS(read), BLOCKS(write)
        manager.read_blk64, manager.write_blk64 = BLOCKS64(read), BLOCKS64(write)
        manager.write_byte = BYTES(write_bytes)
        return manager

    def _guarded(self, act: Callable[[], None]) -> int:
        """Keep a device's exception until the library has returned: C cannot carry it."""
        try:
            act()
        except BaseException as error:
            self._failed = self._failed or error
            return SHORT_READ
        return 0


class _Attributes:
    """An inode's extended attributes, opened and read."""

    def __init__(self, library: Library, number: int) -> None:
        self._library, self._handle = library, c_void_p()
        library.fs_call("ext2fs_xattrs_open", number, byref(self._handle))

    def __enter__(self) -> c_void_p:
        self._library.call("ext2fs_xattrs_read", self._handle)
        return self._handle

    def __exit__(self, *_error: object) -> None:
        self._library.call("ext2fs_xattrs_close", byref(self._handle))


def _span(channel: _Channel, count: int) -> int:
    """Bytes of a request: a negative count is bytes, a positive one blocks (ext2_io.h)."""
    return -count if count < 0 else count * int(channel.block_size)


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libext2fs.so.2")
        speech = ctypes.CDLL("libcom_err.so.2")
    except OSError as error:
        why = "to change ext4 filesystems"
        raise ToolMissing(where="libext2fs", why=why, package="libext2fs2") from error
    library.initialize_ext2_error_table()
    speech.error_message.restype = c_char_p
    speech.error_message.argtypes = (c_long,)
    _declare(library)
    library.error_message = speech.error_message  # type: ignore[attr-defined]  # kept beside its users
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Say what each function takes: ctypes would cut 64-bit numbers to int otherwise."""
    fs, number, size = c_void_p, c_uint32, c_size_t
    text, place, wide = c_char_p, c_void_p, c_ulonglong
    for name, *arguments in (
        ("ext2fs_open2", text, text, c_int, c_int, c_uint, place, place),
        ("ext2fs_close_free", place),
        ("ext2fs_flush", fs),
        ("ext2fs_read_bitmaps", fs),
        ("ext2fs_open_inode_scan", fs, c_int, place),
        ("ext2fs_get_next_inode_full", place, place, place, c_int),
        ("ext2fs_read_inode_full", fs, number, place, c_int),
        ("ext2fs_write_inode_full", fs, number, place, c_int),
        ("ext2fs_write_new_inode", fs, number, place),
        ("ext2fs_new_inode", fs, number, c_int, place, place),
        ("ext2fs_dir_iterate2", fs, number, c_int, place, ENTRY, place),
        ("ext2fs_lookup", fs, number, text, c_int, place, place),
        ("ext2fs_mkdir", fs, number, number, text),
        ("ext2fs_symlink", fs, number, number, text, text),
        ("ext2fs_link", fs, number, text, number, c_int),
        ("ext2fs_unlink", fs, number, text, number, c_int),
        ("ext2fs_expand_dir", fs, number),
        ("ext2fs_punch", fs, number, place, place, wide, wide),
        ("ext2fs_fallocate", fs, c_int, number, place, wide, wide, wide),
        ("ext2fs_free_ext_attr", fs, number, place),
        ("ext2fs_xattrs_open", fs, number, place),
        ("ext2fs_xattrs_read", place),
        ("ext2fs_xattrs_close", place),
        ("ext2fs_xattrs_iterate", place, ATTRIBUTE, place),
        ("ext2fs_xattr_get", place, text, place, place),
        ("ext2fs_xattr_set", place, text, text, size),
        ("ext2fs_xattr_remove", place, text),
        ("ext2fs_get_block_bitmap_range2", place, wide, size, place),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = c_long, arguments
    library.ext2fs_inode_alloc_stats2.restype = None
    library.ext2fs_inode_alloc_stats2.argtypes = (fs, number, c_int, c_int)
