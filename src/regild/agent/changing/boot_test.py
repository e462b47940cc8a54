"""`boot-test` as an answer, and the test boot at the end of an update: what is expected of a guest
comes from the command line, the site, and, where the site lets it, the image's own descriptor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regild.agent.reading.inspect import Inspected, open_system
from regild.agent.reading.intake import open_image
from regild.errors import InputError, UnsupportedFilesystem
from regild.host.files import write_whole
from regild.host.namespace import find_id_map
from regild.host.scratch import Scratch, default_folder, open_scratch
from regild.image.guest import open_guest
from regild.image.overlay import Overlay
from regild.image.spans import Places
from regild.image.tree import Guest
from regild.model.content import Unknown
from regild.model.health import BootTestAnswer, Expectation, Wanted
from regild.model.progress import Progress
from regild.ovf.hardware import Hardware, read_hardware
from regild.prove.boot_test import (
    BootedDisk,
    Seen,
    Trial,
    boot_for_test,
    needs_someone_inside,
)
from regild.prove.equipment import choose_bus, choose_firmware, choose_nic, read_drivers
from regild.prove.health_script import MANAGERS
from regild.prove.scene import find_node
from regild.publish.place import CONSOLE_SUFFIX, SCREEN_SUFFIX

EXT = ("ext2", "ext3", "ext4")


def boot_test(
    path: Path,
    wanted: Wanted,
    progress: Progress,
    *,
    scratch: Path | None = None,
    evidence: Path | None = None,
) -> BootTestAnswer:
    """Boot an image's guest on a throw-away overlay and hold it against what is expected.

    Console and screen are written into the folder `evidence`.

    Raises: BootTestFailed; as `open_image`, `open_system` and `boot_for_test`.
    """
    with open_image(path) as image:
        progress.step(f"Reading {path.name}")
        with open_system(image, image.only_system, languages=False) as inspected:
            trial = trial_of(inspected, inspected.guest, wanted)
            name = f"boot-test-{path.stem[:40]}"
            with open_scratch(scratch or default_folder(), name, find_id_map()) as job:
                job.make_guest()
                seen = boot_for_test(trial, path.name, job, progress)
            places = _keep(seen, evidence, path.stem) if evidence is not None else ("", "")
            return BootTestAnswer(str(path), inspected.system.id, seen.boot, *places)


def test_change(
    overlay: Overlay,
    inspected: Inspected,
    wanted: Wanted | None,
    job: Scratch,
    progress: Progress,
) -> Seen | None:
    """Boot an image with the changes that an overlay holds; None where nobody wants that.

    Raises: BootTestFailed; as `open_guest`, `trial_of` and `boot_for_test`.
    """
    if wanted is None:
        return None
    with open_guest(overlay, inspected.boot.stored.name, inspected.image.keys) as guest:
        trial = trial_of(inspected, guest, wanted, str(overlay.path))
    return boot_for_test(trial, inspected.image.path.name, job, progress)


def trial_of(
    inspected: Inspected,
    guest: Guest,
    wanted: Wanted,
    overlay: str = "",
) -> Trial:
    """What is booted of an image, how, and what is expected; `overlay` holds the changes that were
    made to its boot disk, and `guest` is the guest with them.

    Raises: UnsupportedFilesystem where nobody can look from inside and somebody has to; as
    `StoredDisk.whole`.
    """
    expectations = wanted.expectations
    if wanted.own_tests and inspected.descriptor is not None:
        tests = inspected.descriptor.maintenance.tests
        own = tuple(Expectation("command", one) for one in tests)
        expectations = tuple(dict.fromkeys((*expectations, *own)))
    root, unasked = _place_inside(guest)
    if unasked and needs_someone_inside(expectations):
        raise UnsupportedFilesystem(where="the test boot", why=unasked)
    hardware, drivers = hardware_of(inspected), read_drivers(guest.tree)
    esp = any(one.filesystem == "vfat" and not one.layer for one in guest.volumes)
    return Trial(
        disks=tuple(_disks(inspected, overlay)),
        boot=inspected.disks.index(inspected.boot),
        firmware=choose_firmware(hardware.firmware, inspected.boot.disk.read(0, 512), esp),
        bus=choose_bus(hardware.bus, drivers),
        nic=choose_nic(hardware.nic, drivers),
        expectations=expectations,
        root=root,
        unasked=(Unknown("the end of its start", unasked),) if unasked else (),
        seconds=wanted.seconds,
    )


def _disks(inspected: Inspected, overlay: str) -> Iterator[BootedDisk]:
    for one in inspected.disks:
        yield BootedDisk(*one.stored.whole(), overlay if one is inspected.boot else "")


def hardware_of(inspected: Inspected) -> Hardware:
    """What an image's envelope says of its hardware; nothing where it cannot be read."""
    image = inspected.image
    if not image.envelope_bytes:
        return Hardware()
    try:
        return read_hardware(image.envelope_bytes, inspected.system.id, image.envelope_name)
    except InputError:
        return Hardware()


def _place_inside(guest: Guest) -> tuple[Places, str]:
    """Where somebody who reports can be put, or why nowhere."""
    root = guest.mounts[0].volume
    if root.filesystem not in EXT or not root.on_disk:
        kind = root.filesystem if root.filesystem not in EXT else root.layer
        return (), f"nobody can be put into a root on {kind}; expect tcp:, http: or console:"
    if not any(find_node(guest.tree, place) for place in MANAGERS):
        return (), "the guest is not started by systemd; expect tcp:, http: or console:"
    return root.on_disk, ""


def _keep(seen: Seen, folder: Path, stem: str) -> tuple[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    console, screen = folder / f"{stem}{CONSOLE_SUFFIX}", folder / f"{stem}{SCREEN_SUFFIX}"
    write_whole(console, seen.console)
    if seen.screen:
        write_whole(screen, seen.screen)
    return str(console), str(screen) if seen.screen else ""
