"""A disk served over a socket: held against qemu's own client, and against peers that lie."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from regild.errors import HostError, Malformed
from regild.host.blockserver import PIECE_BYTES_MAX, BlockServer
from regild.host.run import run

SIZE = 1 << 20


class Memory:
    """A disk in memory; its last 4 KiB cannot be read."""

    size = SIZE

    def __init__(self) -> None:
        self.content = bytearray(bytes(range(256)) * (SIZE // 256))

    def read(self, offset: int, length: int) -> bytes:
        if offset + length > SIZE - 4096:
            raise Malformed(where="the disk", why="it is torn")
        return bytes(self.content[offset : offset + length])

    def write(self, offset: int, content: bytes) -> None:
        self.content[offset : offset + len(content)] = content

    def discard(self, offset: int, length: int) -> None:
        self.content[offset : offset + length] = bytes(length)


class Peer:
    """A client by hand, which may say what no client says."""

    def __init__(self, server: BlockServer) -> None:
        self.socket = server.theirs
        self.socket.settimeout(10)
        assert self.take(18) == b"NBDMAGICIHAVEOPT\0\3"
        self.socket.sendall(struct.pack(">I", 3))

    def take(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            piece = self.socket.recv(length - len(found))
            if not piece:
                raise EOFError
            found += piece
        return found

    def go(self) -> Peer:
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", 1, 0))
        size, _ = struct.unpack(">QH", self.take(10))
        assert size == SIZE
        return self

    def ask(self, kind: int, offset: int, length: int, content: bytes = b"") -> tuple[int, bytes]:
        head = struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, length)
        self.socket.sendall(head + content)
        magic, error, handle = struct.unpack(">IIQ", self.take(16))
        assert (magic, handle) == (0x67446698, 7)
        return error, self.take(length) if kind == 0 and not error else b""

    def is_cut_off(self) -> bool:
        try:
            return not self.socket.recv(1)
        except ConnectionError:
            return True


@pytest.fixture
def disk() -> Memory:
    return Memory()


def test_what_is_written_is_read_back(disk: Memory) -> None:
    server = BlockServer(disk)
    peer = Peer(server).go()
    assert peer.ask(0, 256, 16) == (0, bytes(range(16)))
    assert peer.ask(1, 1, 3, b"abc") == (0, b"")
    assert peer.ask(3, 0, 0) == (0, b"")
    assert peer.ask(0, 0, 5) == (0, b"\0abc\4")
    assert peer.ask(4, 0, 3) == (0, b"")
    assert peer.ask(6, 4096, 4096) == (0, b"")
    server.close()
    assert bytes(disk.content[:5]) == b"\0\0\0c\4"
    assert disk.content[4096:8192] == bytes(4096)
    assert server.failure is None


def test_what_is_read_only_stays(disk: Memory) -> None:
    server, before = BlockServer(disk, read_only=True), bytes(disk.content)
    peer = Peer(server).go()
    assert peer.ask(1, 0, 3, b"abc")[0] == errno.EPERM
    assert peer.ask(4, 0, 4096)[0] == errno.EPERM
    assert peer.ask(0, 0, 1) == (0, b"\0")
    server.close()
    assert bytes(disk.content) == before


def test_what_lies_off_the_disk_is_refused(disk: Memory) -> None:
    server = BlockServer(disk)
    peer = Peer(server).go()
    assert peer.ask(0, SIZE, 1)[0] == errno.EINVAL
    assert peer.ask(1, SIZE - 1, 2, b"ab")[0] == errno.EINVAL
    assert peer.ask(0, (1 << 64) - 1, 8)[0] == errno.EINVAL
    assert peer.ask(77, 0, 0)[0] == errno.EINVAL
    server.close()


def test_what_a_disk_raises_is_kept_for_the_caller(disk: Memory) -> None:
    server = BlockServer(disk)
    assert Peer(server).go().ask(0, SIZE - 4096, 4096)[0] == errno.EIO
    server.close()
    assert isinstance(server.failure, Malformed)


def test_a_drive_of_the_host_that_fails_is_told_to_both(disk: Memory, monkeypatch) -> None:
    def fails(offset: int, content: bytes) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk, "write", fails)
    server = BlockServer(disk)
    peer = Peer(server).go()
    assert peer.ask(1, 0, 3, b"abc")[0] == errno.EIO
    assert peer.ask(0, 0, 1) == (0, b"\0")
    server.close()
    assert isinstance(server.failure, HostError)
    assert "Input/output error" in str(server.failure)


@pytest.mark.parametrize(
    "said",
    [
        b"IHAVEOPT" + struct.pack(">II", 7, 1 << 30),
        b"IHATEOPT" + struct.pack(">II", 1, 0),
        (b"IHAVEOPT" + struct.pack(">II", 3, 0)) * 101,
    ],
    ids=["a long option", "another protocol", "options without end"],
)
def test_who_does_not_keep_to_the_protocol_is_cut_off(disk: Memory, said: bytes) -> None:
    server = BlockServer(disk)
    peer = Peer(server)
    peer.socket.sendall(said)
    try:
        while peer.socket.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    server.close()


def test_a_request_beyond_all_bounds_is_cut_off(disk: Memory) -> None:
    server = BlockServer(disk)
    peer = Peer(server).go()
    head = struct.pack(">IHHQQI", 0x25609513, 0, 1, 7, 0, PIECE_BYTES_MAX + 1)
    peer.socket.sendall(head)
    assert peer.is_cut_off()
    server.close()


def test_qemu_reads_and_writes_it(disk: Memory, tmp_path: Path) -> None:
    disk.read = lambda offset, length: bytes(disk.content[offset : offset + length])  # type: ignore[method-assign]
    server = BlockServer(disk)
    place = f"json:{{'driver':'nbd','server.type':'fd','server.str':'{server.theirs.fileno()}'}}"
    wishes = ["write -P 65 4096 8192", "read -P 65 4096 8192", "discard 65536 65536", "flush"]
    asked = [part for wish in wishes for part in ("-c", wish)]
    said = run(
        ["qemu-io", "-d", "unmap", *asked, place.replace("'", '"')],
        purpose="to read what is served",
        pass_fds=[server.theirs.fileno()],
    )
    server.close()
    assert b"verification failed" not in said.stdout
    assert disk.content[4096:12288] == b"A" * 8192
    assert disk.content[65536:131072] == bytes(65536)
    assert disk.content[131072:131080] == bytes(range(8))


def test_a_server_ends_while_its_peer_is_silent(disk: Memory) -> None:
    server = BlockServer(disk)
    Peer(server)
    server.close()
    assert server.theirs.fileno() == -1 and server.failure is None
