"""Writing a package once more, every file of it byte for byte, with a certificate put in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from regild.host.files import digest_file, open_new, translated
from regild.model.progress import Progress
from regild.ovf import tar
from regild.ovf.archive import Appliance
from regild.publish.assemble import Published, move_into_place, new_file, temporary_folder
from regild.publish.place import check_file_place, check_folder_place
from regild.publish.stored import Copied, Stored, Written


def with_certificate(appliance: Appliance, certificate: bytes) -> dict[str, Stored]:
    """The files of a package in their order: .ovf, .mf, the new .cert, and the rest as it was."""
    first = (appliance.envelope_name, appliance.manifest_name)
    files: dict[str, Stored] = {name: Copied((appliance.members[name],)) for name in first}
    files[appliance.manifest_name.removesuffix(".mf") + ".cert"] = Written(certificate)
    for name in (*appliance.member_names(), *appliance.members):
        files.setdefault(name, Copied((appliance.members[name],)))
    return files


def write_archive(files: Mapping[str, Stored], path: Path, progress: Progress) -> Published:
    """Write some files as an OVA, in their order.

    Raises: Truncated, UnsafeName, DiskFull, NotPermitted.
    """
    check_file_place(path)
    places, total = tar.lay_out([(name, stored.bytes) for name, stored in files.items()])
    progress.step(f"Writing {path.name}", total)
    with open_new(path) as file:
        for place in places:
            file.seek(place.offset - tar.BLOCK)
            file.write(tar.header(place.name, place.bytes))
            files[place.name].write_to(file, None, progress)
        file.truncate(total)
    return Published(path, digest_file(path), total)


def write_files(
    files: Mapping[str, Stored], path: Path, progress: Progress, *, replace: bool = False
) -> Published:
    """Write some files into a new folder, which appears whole or not at all.

    Raises: as `check_folder_place`; Truncated, DiskFull, NotPermitted.
    """
    check_folder_place(path, replace)
    total = sum(stored.bytes for stored in files.values())
    progress.step(f"Writing {path.name}", total)
    with translated(path), temporary_folder(path) as folder:
        for name, stored in files.items():
            with new_file(folder, name) as file:
                stored.write_to(file, None, progress)
                file.truncate(stored.bytes)
        move_into_place(folder, path)
    return Published(path, None, total)
