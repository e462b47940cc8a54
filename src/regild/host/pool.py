"""A storage pool of libvirt as a shelf: each file is a volume, sent and read through the daemon, so
that the pool may be on another machine.

Volumes have no folders: `web/3/disk.qcow2` is the volume `web-3.disk.qcow2`. A volume has its whole
length from the begin; how far it was sent is remembered on this machine, and what it holds at the
end is read back by who sends. https://libvirt.org/html/libvirt-libvirt-storage.html
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from regild.errors import (
    Malformed,
    MissingFile,
    NotPermitted,
    PublishError,
    Truncated,
    Unreachable,
    UnsupportedError,
    UsageError,
)
from regild.host.bookmark import Bookmark
from regild.host.files import CHUNK_BYTES, translated
from regild.host.libvirt_library import libvirt_library
from regild.host.shelf import QUIET_SECONDS, Advance, check_file_name, unheard

SEND_BYTES = 64 << 20
"""What one stream carries: what is lost when the line breaks."""
XML_BYTES = 1 << 20
KINDS = ("dir", "fs", "netfs")
"""Pools whose volumes are files, which have the length that they were made with."""

_OURS = re.compile(r"([a-z0-9][a-z0-9._-]*)/([0-9]+)/([a-z0-9][a-z0-9._-]*)")
_VOLUME = re.compile(
    r"([a-z0-9][a-z0-9._-]*)-([0-9]+)\.(disk\.(?:qcow2|raw)|label\.json|[a-z]+\.about\.json)"
)


class PoolShelf:
    """`libvirt[+ssh|+tls]://[HOST]/system/POOL`: a pool of a daemon."""

    def __init__(self, address: str) -> None:
        self._api = libvirt_library("to keep images in a storage pool of libvirt")
        uri, name = _read_address(address)
        self.where = f"{uri.partition('?')[0]} pool {name}"
        with self._told(self.where):
            self._connection = self._api.open(uri)
            self._pool = self._connection.storagePoolLookupByName(name)
            if not self._pool.isActive():
                raise PublishError(where=self.where, why="the pool is not started")
            self._pool.refresh(0)
            kind = _element(self._pool.XMLDesc(0), self.where).get("type", "")
        if kind not in KINDS:
            why = f"a pool of the kind {kind} keeps no files; {', '.join(KINDS)} do"
            raise UnsupportedError(where=self.where, why=why)

    def put(self, name: str, content: bytes) -> None:
        """Write a small volume anew."""
        self.remove(name)
        volume = self._made(name, len(content))
        with self._told(f"{self.where}: {name}"):
            self._send(volume, content, 0)

    def put_file(self, name: str, path: Path, advance: Advance = unheard) -> int:
        """Send a file into a volume; one that broke off goes on where the daemon had taken it."""
        with translated(path), path.open("rb") as file:
            size = path.stat().st_size
            volume, at, mark = self._begun(name, file, size)
            file.seek(at)
            advance(at)
            sent = size - at
            with self._told(f"{self.where}: {name}"):
                while piece := file.read(SEND_BYTES):
                    self._send(volume, piece, at)
                    at += len(piece)
                    mark.keep(str(at))
                    advance(len(piece))
        mark.forget()
        return sent

    def read(self, name: str, begin: int, length: int) -> bytes:
        """A range of a volume, in bytes; fewer where it ends before.

        Raises: MissingFile.
        """
        volume = self._volume(name)
        if volume is None:
            raise MissingFile(where=f"{self.where}: {name}", why="there is no such volume")
        with self._told(f"{self.where}: {name}"):
            length = max(0, min(length, self._bytes(volume) - begin))
            return self._received(volume, begin, length) if length else b""

    def size(self, name: str) -> int | None:
        """The bytes of a volume's file."""
        volume = self._volume(name)
        if volume is None:
            return None
        with self._told(f"{self.where}: {name}"):
            return self._bytes(volume)

    def mark(self, name: str) -> str:
        """Length and time of a volume's file; one that was changed a moment ago is left alone."""
        volume = self._volume(name)
        if volume is None:
            return ""
        with self._told(f"{self.where}: {name}"):
            length, changed = read_volume(volume.XMLDesc(0), self.where)
        return f"{length}:{changed}" if time.time() - changed >= QUIET_SECONDS else ""

    def names(self) -> Iterator[str]:
        """Every volume whose name a shelf takes."""
        with self._told(self.where):
            self._pool.refresh(0)
            listed = sorted(one.name() for one in self._pool.listAllVolumes())
        for volume in listed:
            found = _VOLUME.fullmatch(volume)
            name = "/".join(found.groups()[:3]) if found else volume
            with contextlib.suppress(UsageError):
                yield check_file_name(name)

    def remove(self, name: str) -> None:
        """Delete a volume; one that is gone already is fine."""
        volume = self._volume(name)
        if volume is not None:
            with self._told(f"{self.where}: {name}"):
                volume.delete(0)

    def refresh(self) -> None:
        """Let the daemon look at the volumes: only then does it know what format a disk has."""
        with self._told(self.where):
            self._pool.refresh(0)

    # --- volumes

    def _begun(self, name: str, file: Any, size: int) -> tuple[Any, int, Bookmark]:
        """A volume of a file's length, how much of it was sent already, and where that is
        remembered."""
        head = hashlib.sha256(file.read(CHUNK_BYTES)).hexdigest()
        mark = Bookmark(f"{self.where} {name} {size} {head}")
        volume = self._volume(name)
        if volume is not None and self._bytes(volume) == size:
            kept = mark.find()
            # What was kept is spent: when the bytes do not fit at the end, all are sent anew.
            mark.forget()
            return volume, int(kept) if kept.isdigit() and int(kept) <= size else 0, mark
        self.remove(name)
        return self._made(name, size), 0, mark

    def _made(self, name: str, size: int) -> Any:
        """A new volume; it is raw until the pool is looked at, so that its bytes stay as sent."""
        told = (
            f"<volume><name>{escape(_volume_name(name))}</name><capacity>{size}</capacity>"
            "<allocation>0</allocation><target><format type='raw'/></target></volume>"
        )
        with self._told(f"{self.where}: {name}"):
            return self._pool.createXML(told, 0)

    def _volume(self, name: str) -> Any:
        with self._told(f"{self.where}: {name}"):
            try:
                return self._pool.storageVolLookupByName(_volume_name(name))
            except self._api.libvirtError as error:
                if error.get_error_code() == self._api.VIR_ERR_NO_STORAGE_VOL:
                    return None
                raise

    def _bytes(self, volume: Any) -> int:
        """The length of a volume's file, not what the disk in it offers."""
        return read_volume(volume.XMLDesc(0), self.where)[0]

    def _send(self, volume: Any, content: bytes, begin: int) -> None:
        stream = self._connection.newStream(0)
        try:
            volume.upload(stream, begin, len(content), 0)
            view, at = memoryview(content), 0
            while at < len(content):
                at += stream.send(bytes(view[at : at + CHUNK_BYTES]))
            stream.finish()
        except BaseException:
            with contextlib.suppress(self._api.libvirtError):
                stream.abort()
            raise

    def _received(self, volume: Any, begin: int, length: int) -> bytes:
        stream = self._connection.newStream(0)
        content = bytearray()
        try:
            volume.download(stream, begin, length, 0)
            while len(content) < length and (piece := stream.recv(length - len(content))):
                content += piece
            if len(content) < length:
                why = f"{len(content)} of {length} bytes came"
                raise Truncated(where=self.where, why=why)
            stream.finish()
        except BaseException:
            with contextlib.suppress(self._api.libvirtError):
                stream.abort()
            raise
        return bytes(content)

    @contextlib.contextmanager
    def _told(self, where: str) -> Iterator[None]:
        """Say libvirt's errors as regild's."""
        try:
            yield
        except self._api.libvirtError as error:
            code, why = error.get_error_code(), str(error)
            refused = (self._api.VIR_ERR_AUTH_FAILED, self._api.VIR_ERR_ACCESS_DENIED)
            if code in refused:
                raise NotPermitted(where=where, why=why) from error
            if code == self._api.VIR_ERR_NO_STORAGE_POOL:
                raise MissingFile(where=where, why=why) from error
            if code in (self._api.VIR_ERR_NO_CONNECT, self._api.VIR_ERR_SYSTEM_ERROR):
                raise Unreachable(where=where, why=why) from error
            raise PublishError(where=where, why=why) from error


def _read_address(address: str) -> tuple[str, str]:
    """The daemon's own address, and the pool's name.

    Raises: UsageError.
    """
    place, sign, query = address.partition("?")
    scheme, _, rest = place.partition("://")
    host, _, path = rest.partition("/")
    root, _, name = f"/{path}".rpartition("/")
    if root not in ("/system", "/session") or not name:
        raise UsageError(what=f"{address}: a pool is libvirt://[HOST]/system/POOL")
    return f"{scheme.replace('libvirt', 'qemu', 1)}://{host}{root}{sign}{query}", name


def _volume_name(name: str) -> str:
    """The volume of a name on a shelf.

    Raises: UsageError.
    """
    found = _OURS.fullmatch(check_file_name(name))
    return f"{found[1]}-{found[2]}.{found[3]}" if found else name


def read_volume(text: str, where: str) -> tuple[int, float]:
    """The length of a volume's file, and when it was changed last, as a daemon describes it
    (https://libvirt.org/formatstorage.html).

    Raises: Malformed.
    """
    told = _element(text, where)
    length = told.findtext("physical") or told.findtext("capacity") or ""
    changed = told.findtext("target/timestamps/mtime") or "0"
    if not re.fullmatch(r"[0-9]{1,18}", length) or not re.fullmatch(
        r"[0-9]{1,18}(\.[0-9]{0,18})?", changed
    ):
        raise Malformed(where=where, why="a volume there has no length or no time")
    return int(length), float(changed)


def _element(text: str, where: str) -> ET.Element:
    """What a daemon says, bounded and without declarations of its own.

    Raises: Malformed.
    """
    if len(text) > XML_BYTES or "<!" in text:
        raise Malformed(where=where, why="what the daemon says of it is not to be read")
    try:
        return ET.fromstring(text)  # noqa: S314 - bounded, and nothing is declared in it
    except (ET.ParseError, ValueError) as error:
        raise Malformed(
            where=where, why=f"what the daemon says of it is no XML: {error}"
        ) from error
