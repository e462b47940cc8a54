"""Which hardware a guest is tested on: what its envelope asks for, as far as QEMU and the guest's
own drivers have it.

Source: modules.dep and modules.builtin as depmod(8) and kbuild write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from regild.errors import InputError, UnsupportedError
from regild.image.tree import Tree
from regild.model.health import Bus, Firmware, Nic
from regild.prove.scene import names_in

LIST_MAX: Final = 32 << 20
KERNELS_MAX: Final = 20
FOLDERS: Final = ("/lib/modules", "/usr/lib/modules")

BUS_DRIVERS: Final[dict[Bus, tuple[str, ...]]] = {
    "virtio": ("virtio_blk", "virtio_pci"),
    "virtio-scsi": ("virtio_scsi", "virtio_pci"),
    "pvscsi": ("vmw_pvscsi",),
    "sas": ("mptsas",),
    "sata": ("ahci",),
    "ide": ("ata_piix",),
    "lsi": ("sym53c8xx",),
}
"""The modules that each bus needs, in the order in which they stand in for one that is not
there."""
NIC_DRIVERS: Final[dict[Nic, str]] = {
    "virtio": "virtio_net",
    "e1000": "e1000",
    "e1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "pcnet": "pcnet32",
}


def read_drivers(tree: Tree) -> frozenset[str]:
    """The names of the modules that every kernel of a guest has; none where they cannot be read."""
    found: frozenset[str] | None = None
    for folder in FOLDERS:
        for version in names_in(tree, folder)[:KERNELS_MAX]:
            held = frozenset(_modules(tree, f"{folder}/{version}"))
            if held:
                found = held if found is None else found & held
    return found or frozenset()


def choose_bus(wanted: Bus | None, drivers: frozenset[str]) -> Bus:
    """The bus that is asked for where the guest can use it; else the first that it can.

    Without knowing its drivers: as asked for, or IDE, which everything knows.
    """
    if not drivers:
        return wanted or "ide"
    order = [wanted] if wanted else []
    for bus in [*order, *BUS_DRIVERS]:
        if drivers.issuperset(BUS_DRIVERS[bus]):
            return bus
    return wanted or "ide"


def choose_nic(wanted: Nic | None, drivers: frozenset[str]) -> Nic:
    """The network card that is asked for where the guest can use it; else the first that it can."""
    if not drivers:
        return wanted or "e1000"
    order = [wanted] if wanted else []
    for nic in [*order, *NIC_DRIVERS]:
        if NIC_DRIVERS[nic] in drivers:
            return nic
    return wanted or "e1000"


def choose_firmware(wanted: Firmware | None, first_sector: bytes, has_esp: bool) -> Firmware:
    """The firmware that is asked for; else the BIOS where the disk has a boot loader for it, and
    UEFI where it has only an EFI system partition."""
    if wanted is not None:
        return wanted
    return "efi" if has_esp and not any(first_sector[:440]) else "bios"


def _modules(tree: Tree, folder: str) -> Iterator[str]:
    for name in ("modules.dep", "modules.builtin"):
        try:
            text = tree.read(f"{folder}/{name}", LIST_MAX).decode(errors="replace")
        except (InputError, UnsupportedError):
            continue
        for line in text.splitlines():
            module = line.partition(":")[0].rpartition("/")[2].partition(".ko")[0]
            yield module.replace("-", "_")
