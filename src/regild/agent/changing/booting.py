"""What it takes to boot a guest for its changes, and what of its disk is looked at afterwards."""

from __future__ import annotations

from regild.agent.changing.parts import parts_of
from regild.agent.reading.inspect import Inspected
from regild.change.apply import Boot
from regild.change.loader_places import find_places
from regild.change.start import read_start
from regild.describe.boot import read_boot
from regild.host.scratch import Scratch
from regild.model.plan import Plan
from regild.plan.method import loader_is_written


def boot_of(inspected: Inspected, plan: Plan, job: Scratch) -> Boot:
    """What a guest is started by, read out of the image, and the places beside its filesystems.

    Where a boot loader is written, what lies where loaders do is taken over.

    Raises: CannotBoot, and what reading the disk raises.
    """
    guest = inspected.guest
    changed = [step.name for step in plan.package_steps]
    installed = [package.name for package in inspected.content.packages]
    is_written = loader_is_written(changed, installed)
    return Boot(
        read_start(guest, read_boot(guest.tree).entries, job.folder("start")),
        find_places(inspected.boot.disk, guest.volumes, parts_of(guest), is_written),
    )
