"""A generation as KubeVirt's containerDisk: an OCI image of one layer that holds the disk, which a
DataImportCron can follow by its tag.

KubeVirt user guide, "containerDisk": the disk lies in /disk, readable for user and group 107.
OCI image specification 1.1: configuration (6), layers (5).
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from regild.errors import Malformed, MissingFile
from regild.host.files import digest_file, open_new
from regild.image.packed import kind_of, unpacked_window
from regild.image.window import open_window
from regild.model.digest import canonical, sha256_of
from regild.model.progress import Progress
from regild.ovf import tar
from regild.publish.oci_manifest import TITLE, Json, read_blob, read_list
from regild.publish.oci_target import CREATED, MANIFEST, Registry
from regild.publish.target import Parcel, Pushed

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
QEMU = 107
DISK = "disk/disk.qcow2"
PIECE_BYTES = 1 << 20
ALIASES = {"x86_64": "amd64", "aarch64": "arm64"}


class ContainerDiskTarget:
    """`containerdisk://HOST/REPOSITORY[:TAG]`: a tag for the generation, and one that moves."""

    def __init__(self, address: str) -> None:
        self.registry = Registry(address)
        self._moving = self.registry.tag or "latest"

    def push(self, parcel: Parcel, progress: Progress) -> Pushed:
        """Wrap the disk into a layer, send it, then let the tags point at it."""
        label, registry = parcel.label, self.registry
        with _layered(parcel.disk("qcow2")) as layer:
            digest, size = digest_file(layer), layer.stat().st_size
            progress.step(f"Pushing to {registry.where}", size)
            sent = registry.put_blob(layer, digest, size, progress)
        config = canonical(
            {
                "architecture": ALIASES.get(label.arch, label.arch),
                "os": "linux",
                "created": label.created,
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [digest]},
            }
        )
        registry.put_bytes(config)
        manifest: Json = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": sha256_of(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": digest, "size": size}],
            "annotations": {
                CREATED: label.created,
                TITLE: f"{label.image}@{label.number}",
                "dev.regild.generation.digest": label.digest,
            },
        }
        described: Json = {}
        for tag in (f"{label.image}-{label.number}", self._moving):
            described, _ = registry.put_manifest(manifest, tag)
        where = f"{registry.where}:{label.image}-{label.number}"
        note = f"{registry.where}:{self._moving} points at it"
        return Pushed(where, described["digest"], sent, (note,))

    def names(self) -> tuple[str, ...]:
        """The repository's tags."""
        return self.registry.tags()

    def marks(self) -> dict[str, str]:
        """The repository's tags, each with the digest of its manifest."""
        return self.registry.marks()

    def pull(self, name: str, folder: Path, progress: Progress) -> tuple[Path, ...]:
        """Bring the disk out of an image's last layer."""
        manifest, _ = self.registry.manifest(name)
        where = f"{self.registry.where}:{name}"
        layers = read_list(manifest, "layers", where)
        if not layers:
            raise Malformed(where=where, why="it has no layer")
        last = read_blob(layers[-1], where)
        path = folder / "layer.tar"
        progress.step(f"Pulling {name}", last.bytes)
        self.registry.blob(last.digest, last.bytes, path, progress)
        try:
            return (taken_out(path, folder / f"{name}.qcow2"),)
        finally:
            path.unlink()


@contextlib.contextmanager
def _layered(disk: Path) -> Iterator[Path]:
    """The layer's file: a tar with the disk, the same bytes for the same disk."""
    path = disk.with_name(f"{disk.name}.layer.tar")
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as layer:
        folder = tarfile.TarInfo("disk")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o555
        folder.uid = folder.gid = QEMU
        layer.addfile(folder, io.BytesIO())
        entry = tarfile.TarInfo(DISK)
        entry.size, entry.mode = disk.stat().st_size, 0o440
        entry.uid = entry.gid = QEMU
        with disk.open("rb") as file:
            layer.addfile(entry, file)
    try:
        yield path
    finally:
        path.unlink()


def taken_out(layer: Path, target: Path) -> Path:
    """The only file below disk/ of a layer, packed or not, under a name of its own; nothing else of
    it is unpacked.

    Raises: Malformed, Truncated, TooLarge, MissingFile, UnsafeName; DiskFull, NotPermitted,
    TargetExists.
    """
    with contextlib.ExitStack() as stack:
        window = stack.enter_context(open_window(layer))
        kind = kind_of(window.read(0, min(tar.BLOCK, window.size)))
        if kind:
            window = unpacked_window(window, kind, stack)
        file = stack.enter_context(os.fdopen(os.dup(window.handle), "rb"))
        for entry in tar.read_entries(file, str(layer)):
            if entry.kind in tar.REGULAR and entry.name.removeprefix("./").startswith("disk/"):
                with open_new(target, replace=False) as disk:
                    for at in range(0, entry.bytes, PIECE_BYTES):
                        count = min(PIECE_BYTES, entry.bytes - at)
                        disk.write(window.read(entry.offset + at, count))
                return target
    raise MissingFile(where="disk/", why="the image's layer holds no disk")
