"""Volumes that lie in other volumes: what LUKS hides behind a key, and what LVM puts together.

Their bytes are given places behind the disk's end, so that all that reads volumes needs to know
nothing of it. LVM inside LUKS is read, and LUKS inside LVM; nothing is opened a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from regild.errors import InputError, RegildError, UnsupportedError
from regild.image.disk import Disk
from regild.image.joined import JoinedDisk, Piece
from regild.image.keys import Keys
from regild.image.volumes import Volume, logical_volume
from regild.model.content import Unknown

FIRST_LOGICAL = 1_000_000
"""Numbers of logical volumes, which no partition has."""
FIRST_UNLOCKED = 2_000_000
"""Numbers of what lies in encrypted volumes: their own on top of this."""


@dataclass(slots=True)
class Layers:
    """A disk with the volumes of its volumes behind its end."""

    disk: Disk
    volumes: tuple[Volume, ...]
    refusals: dict[int, RegildError] = field(default_factory=dict)
    """Why a volume was not opened, or could not be read, by its number."""
    whys: dict[int, str] = field(default_factory=dict)
    """The same for physical volumes of LVM."""
    lost: list[Unknown] = field(default_factory=list)
    """Logical volumes that cannot be read."""


def read_layers(disk: Disk, volumes: Sequence[Volume], keys: Keys, where: str) -> Layers:
    """A disk with all that its encrypted and physical volumes hold.

    Raises: nothing; what cannot be opened is named.
    """
    layers = Layers(disk, tuple(volumes))
    _unlock(layers, keys, where)
    if any(volume.kind == "lvm" for volume in layers.volumes):
        _put_together(layers, disk.size)
        _unlock(layers, keys, where)
    return layers


def _unlock(layers: Layers, keys: Keys, where: str) -> None:
    """Open the encrypted volumes that were not tried yet."""
    pieces = [Piece(layers.disk, 0, layers.disk.size)]
    end = layers.disk.size
    volumes = list(layers.volumes)
    opened: list[tuple[int, int, int, str]] = []
    for index, volume in enumerate(layers.volumes):
        if volume.kind != "encrypted" or volume.number in layers.refusals:
            continue
        try:
            plain = _plain(layers.disk, volume, keys)
        except (InputError, UnsupportedError) as error:
            layers.refusals[volume.number] = error
            continue
        volumes[index] = replace(volume, kind="unlocked")
        pieces.append(Piece(plain, 0, plain.size))
        opened.append((FIRST_UNLOCKED + volume.number, end, plain.size, volume.name))
        end += plain.size
    if opened:
        layers.disk = JoinedDisk(layers.disk.format, pieces, where)
        for number, begin, size, name in opened:
            inner = logical_volume(layers.disk, number, begin, size, f"{name}, unlocked")
            volumes.append(replace(inner, layer="LUKS"))
        layers.volumes = tuple(volumes)


def _plain(disk: Disk, volume: Volume, keys: Keys) -> Disk:
    """The bytes that an encrypted volume hides.

    Raises: Encrypted, WrongKey, and the other errors of `regild.image.luks.unlocked`.
    """
    from regild.image.luks import unlocked

    if volume.filesystem != "LUKS":
        why = f"it is {volume.filesystem}, which regild does not open"
        raise UnsupportedError(where=volume.name, why=why)
    return unlocked(disk, volume.offset, volume.bytes, keys, volume.name)


def _put_together(layers: Layers, size: int) -> None:
    """Add the logical volumes of LVM; those within the disk's own `size` know their places there,
    those inside of encrypted volumes do not."""
    from regild.image.lvm import read_groups

    groups = read_groups(layers.disk, layers.volumes)
    found = list(layers.volumes)
    for number, one in enumerate(groups.volumes, FIRST_LOGICAL):
        name = f"LVM volume {one.name}"
        if one.why:
            layers.lost.append(Unknown(name, one.why))
        else:
            volume = logical_volume(groups.disk, number, one.offset, one.bytes, name)
            within = all(at + length <= size for at, length in one.places)
            places = one.places if within else ()
            found.append(replace(volume, device=one.device, layer="LVM", places=places))
    layers.disk = groups.disk
    layers.volumes = tuple(found)
    layers.whys = groups.whys
