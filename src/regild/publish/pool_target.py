"""Generations in a storage pool of libvirt: their boot disks, ready to start machines from."""

from __future__ import annotations

from regild.errors import PublishError
from regild.host.pool import PoolShelf
from regild.model.progress import Progress
from regild.publish.boot_disk import disk_parcel, split_format
from regild.publish.shelf_target import ShelfTarget
from regild.publish.target import Parcel, Pushed


class PoolTarget(ShelfTarget):
    """`libvirt[+ssh|+tls]://[HOST]/system/POOL[?format=raw]`: the volume `IMAGE-NUMBER.disk.qcow2`,
    which is whole once `IMAGE-NUMBER.label.json` is there."""

    def __init__(self, address: str) -> None:
        place, self._form = split_format(address)
        self._pool = PoolShelf(place)
        super().__init__(self._pool)

    def push(self, parcel: Parcel, progress: Progress) -> Pushed:
        """Send the boot disk; what domains may stand on already is never changed.

        Raises: as `Target.push`.
        """
        label = parcel.label
        there = self.label(f"{label.image}@{label.number}")
        if there is not None and there.digest != label.digest:
            where = f"{self._pool.where}: {label.image}-{label.number}"
            why = f"another generation of this name, {there.digest}, is there and stays"
            raise PublishError(where=where, why=why)
        pushed = super().push(disk_parcel(parcel, self._form), progress)
        self._pool.refresh()
        return pushed
