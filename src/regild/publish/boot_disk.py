"""A parcel of nothing but the boot disk, for places that keep disks to start machines from."""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import replace as changed

from regild.errors import UsageError
from regild.host.files import digest_file
from regild.publish.target import Parcel, ParcelFile

FORMATS = ("qcow2", "raw")


def disk_parcel(parcel: Parcel, form: str) -> Parcel:
    """The parcel with `disk.FORM` as its only file; its label still says which generation it is.

    The disk is written anew, so that no header of a published file leads anywhere on the machine
    that will start it.
    """
    path = parcel.disk(form)
    file = ParcelFile(f"disk.{form}", digest_file(path), path.stat().st_size)
    label = changed(parcel.label, form="disk", files=(file,))
    return replace(parcel, label=label, paths={file.name: path})


def split_format(address: str) -> tuple[str, str]:
    """An address without its `?format=`, and what that says; qcow2 unless it says otherwise.

    Raises: UsageError.
    """
    place, _, query = address.partition("?")
    asked = [part for part in query.split("&") if part]
    told = [part.partition("=")[2] for part in asked if part.startswith("format=")]
    form = told[-1] if told else FORMATS[0]
    if form not in FORMATS:
        raise UsageError(what=f"{address}: a disk goes there as {' or '.join(FORMATS)}")
    rest = "&".join(part for part in asked if not part.startswith("format="))
    return (f"{place}?{rest}" if rest else place), form
