"""Who writes the guest's filesystems, and what is refused before any work."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from regild.agent.changing.parts import check_writers, parts_of
from regild.errors import CannotBoot
from regild.image.tree import Guest, Mount
from regild.image.volumes import Volume
from regild.model.digest import Digest
from regild.model.plan import Carrier, Plan
from tests.change.test_start import systemd

NOTHING = Digest("sha256:" + "0" * 64)


def guest_on(*filesystems: str) -> Guest:
    """A guest of systemd whose volumes are on these filesystems, the root first."""
    volumes = [
        Volume(n, f"volume {n}", n << 20, 1 << 20, "filesystem", kind, layer="LVM", device=f"g-{n}")
        for n, kind in enumerate(filesystems)
    ]
    mounts = tuple(
        Mount("/" if not n else f"/v{n}", volume, volume.filesystem)
        for n, volume in enumerate(volumes)
    )
    return replace(systemd(), volumes=tuple(volumes), mounts=mounts)


def plan_by(carrier: Carrier) -> Plan:
    return Plan(
        NOTHING, NOTHING, "disk", "full", (), carrier=carrier, carrier_why="it was asked for"
    )


def test_logical_volumes_of_ext_are_changed_by_a_booted_guest_too() -> None:
    guest = guest_on("ext4", "ext3")
    check_writers(guest, plan_by("boot"))
    assert [part.device for part in parts_of(guest)] == ["/dev/mapper/g-0", "/dev/mapper/g-1"]


@pytest.mark.parametrize("kinds", [("xfs",), ("btrfs",), ("ext4", "xfs")])
def test_a_guest_whose_changes_cannot_be_taken_over_is_not_booted(kinds: tuple[str, ...]) -> None:
    with pytest.raises(CannotBoot) as refused:
        check_writers(guest_on(*kinds), plan_by("boot"))
    assert f"what it changes on {kinds[-1]} is not taken over" in str(refused.value)
    assert "it was asked for" in str(refused.value)
    assert "--method offline" in refused.value.hint


@pytest.mark.parametrize("layer", ["LUKS", "LVM"])
def test_a_guest_with_a_volume_behind_a_key_is_not_booted(layer: str) -> None:
    guest = guest_on("ext4", "ext4")
    hidden = replace(guest.mounts[1], filesystem=f"ext4 on {layer}")
    with pytest.raises(CannotBoot, match=f"/v1 on ext4 on {layer}"):
        check_writers(replace(guest, mounts=(guest.mounts[0], hidden)), plan_by("boot"))
