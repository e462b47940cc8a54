"""Serves a disk of ours to one other process over a socket: the NBD protocol, newstyle.

A virtual machine reads and writes a disk in any format that regild can read, without a copy, and
without its own code for disk formats ever seeing a stranger's bytes. The peer may be hostile (a
guest may have taken over its machine): lengths are bounded, and what lies off the disk is refused.
Source: NBD protocol, doc/proto.md of NetworkBlockDevice/nbd, "Fixed newstyle negotiation",
"Simple reply message".
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
from typing import Final, Protocol, runtime_checkable

from regild.errors import DiskFull, HostError, RegildError

PIECE_BYTES_MAX: Final = 32 << 20
"""The largest request that the protocol promises to be served."""
OPTION_BYTES_MAX: Final = 4096
OPTIONS_MAX: Final = 100

_GREETING: Final = b"NBDMAGICIHAVEOPT" + struct.pack(">H", 0b11)
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACK, _REPLY_INFO, _UNSUPPORTED = 1, 3, 0x80000001
_READ, _WRITE, _DISCONNECT, _FLUSH, _TRIM, _WRITE_ZEROES = 0, 1, 2, 3, 4, 6
_HAS_FLAGS, _READ_ONLY, _SEND_FLUSH, _SEND_TRIM, _SEND_WRITE_ZEROES = 1, 2, 4, 32, 64

_OPTION: Final = struct.Struct(">8sII")
_REQUEST: Final = struct.Struct(">IHHQQI")
_REPLY: Final = struct.Struct(">IIQ")
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_OPTION_REPLY_MAGIC: Final = 0x3E889045565A9


class Readable(Protocol):
    """A disk that is served: offsets and lengths in bytes."""

    @property
    def size(self) -> int:
        """Bytes of the disk."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""


@runtime_checkable
class Writable(Readable, Protocol):
    """A disk that can be changed."""

    def write(self, offset: int, content: bytes) -> None:
        """Change the disk's bytes."""

    def discard(self, offset: int, length: int) -> None:
        """Let a range read as zeros."""


class BlockServer:
    """Serves one disk to one peer from a thread of its own, until the peer ends.

    With `read_only`, or where the disk cannot be written, every change is refused. `failure` is
    the first error of the disk, which the peer only saw as one of a drive.
    """

    def __init__(self, disk: Readable, read_only: bool = False) -> None:
        self._disk = disk
        self._writable = disk if isinstance(disk, Writable) and not read_only else None
        self._ours, self.theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.failure: RegildError | None = None
        self._thread.start()

    def close(self) -> None:
        """Stop serving; a request that is being served is finished first."""
        self.theirs.close()
        self._hang_up()
        self._thread.join()
        self._ours.close()

    def _serve(self) -> None:
        try:
            if self._negotiate():
                while self._answer():
                    pass
        except (OSError, EOFError):
            return  # the peer is gone, or does not speak the protocol
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # the peer has ended already
            self._ours.shutdown(socket.SHUT_RDWR)

    def _negotiate(self) -> bool:
        """Agree on the one disk that there is; whether the peer goes on to use it."""
        self._ours.sendall(_GREETING)
        (flags,) = struct.unpack(">I", self._take(4))
        for _ in range(OPTIONS_MAX):
            magic, option, length = _OPTION.unpack(self._take(_OPTION.size))
            if magic != b"IHAVEOPT" or length > OPTION_BYTES_MAX:
                return False
            self._take(length)
            if option == _EXPORT_NAME:
                padding = b"" if flags & _NO_ZEROES else bytes(124)
                self._ours.sendall(self._export() + padding)
                return True
            if option in (_INFO, _GO):
                self._reply_to(option, _REPLY_INFO, struct.pack(">H", 0) + self._export())
                self._reply_to(option, _ACK)
                if option == _GO:
                    return True
            else:
                self._reply_to(option, _ACK if option == _ABORT else _UNSUPPORTED)
                if option == _ABORT:
                    return False
        return False

    def _export(self) -> bytes:
        flags = _HAS_FLAGS | _SEND_FLUSH
        flags |= _SEND_TRIM | _SEND_WRITE_ZEROES if self._writable else _READ_ONLY
        return struct.pack(">QH", self._disk.size, flags)

    def _reply_to(self, option: int, kind: int, content: bytes = b"") -> None:
        head = struct.pack(">QIII", _OPTION_REPLY_MAGIC, option, kind, len(content))
        self._ours.sendall(head + content)

    def _answer(self) -> bool:
        """Serve one request; False when the peer takes its leave or breaks the protocol."""
        magic, _, kind, handle, offset, length = _REQUEST.unpack(self._take(_REQUEST.size))
        if magic != _REQUEST_MAGIC or kind == _DISCONNECT:
            return False
        if kind in (_READ, _WRITE) and length > PIECE_BYTES_MAX:
            return False
        content = self._take(length) if kind == _WRITE else b""
        error, answer = self._do(kind, offset, length, content)
        self._ours.sendall(_REPLY.pack(_REPLY_MAGIC, error, handle) + answer)
        return True

    def _do(self, kind: int, offset: int, length: int, content: bytes) -> tuple[int, bytes]:
        """Carry a request out: an error number and what was read."""
        if kind == _FLUSH:
            return 0, b""  # what is not kept after a crash needs no barrier
        if offset + length > self._disk.size:
            return errno.EINVAL, b""
        try:
            if kind == _READ:
                return 0, self._disk.read(offset, length)
            if self._writable is None:
                return errno.EPERM, b""
            if kind == _WRITE:
                self._writable.write(offset, content)
            elif kind in (_TRIM, _WRITE_ZEROES):
                self._writable.discard(offset, length)
            else:
                return errno.EINVAL, b""
        except RegildError as error:
            return self._failed(error), b""
        except OSError as error:
            return self._failed(HostError(where="the disk", why=error.strerror or str(error))), b""
        return 0, b""

    def _failed(self, error: RegildError) -> int:
        self.failure = self.failure or error
        return errno.ENOSPC if isinstance(error, DiskFull) else errno.EIO

    def _take(self, length: int) -> bytes:
        """Exactly so many bytes from the peer.

        Raises: EOFError when it ended.
        """
        taken = bytearray()
        while len(taken) < length:
            piece = self._ours.recv(min(length - len(taken), 1 << 20))
            if not piece:
                raise EOFError
            taken += piece
        return bytes(taken)
