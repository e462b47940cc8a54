"""The parent of a VMDK that keeps only what differs from it, followed by a bare name.

Virtual Disk Format 1.1 (VMware, 2007), "The Descriptor File": parentCID and parentFileNameHint. A
parent whose content id is another one has been written to since; what the two would read as
together was never a disk, so that is refused.
"""

from __future__ import annotations

from regild.errors import ExternalFile, Malformed, UnsupportedFormat
from regild.image.disk import HEAD_BYTES, Disk
from regild.image.neighbours import MAX_CHAIN, Neighbours
from regild.image.vmdk_layout import MAGIC, NO_PARENT, check_no_parent


def open_parent(settings: dict[str, str], neighbours: Neighbours | None, where: str) -> Disk | None:
    """The parent that the settings of a descriptor name; None where they name none.

    Raises: ExternalFile for one that is not followed, Malformed for another disk than the one that
    was written on and for a cycle, TooLarge; whatever opening it raises.
    """
    if neighbours is None:
        check_no_parent(settings, where)
        return None
    wanted = settings.get("parentcid", NO_PARENT).lower()
    name = settings.get("parentfilenamehint", "")
    if wanted == NO_PARENT and not name:
        return None
    if not name:
        raise ExternalFile(where=where, why=f"it differs from a disk {wanted[:8]} without a name")
    parent, found = _opened(name, neighbours, where)
    check_same(where, wanted, found)
    return parent


def check_same(where: str, wanted: str, found: str) -> None:
    """Refuse a parent that is not the one that the delta was made on.

    Raises: Malformed.
    """
    if found and wanted not in ("", found):
        why = f"it differs from a disk {wanted[:8]}, and its parent is {found[:8]}"
        raise Malformed(where=where, why=why)


def _opened(name: str, neighbours: Neighbours, where: str) -> tuple[Disk, str]:
    """A parent and its content id."""
    window = neighbours.deeper(where, MAX_CHAIN).open(name, where)
    head = window.read(0, min(HEAD_BYTES, window.size))
    if head.startswith(MAGIC):
        from regild.image.vmdk import open_vmdk

        disk = open_vmdk(window, neighbours=neighbours)
        return disk, disk.descriptor.content_id
    if head.startswith(b"# Disk DescriptorFile"):
        from regild.image.vmdk_split import open_parts_of

        return open_parts_of(window, neighbours)
    raise UnsupportedFormat(where=window.where, why="it is the parent of a VMDK, and is none")
