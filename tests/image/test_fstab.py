import pytest

from regild.image.fstab import find_volume, read_fstab
from regild.image.volumes import Volume


def volume(number, **more):
    return Volume(number, f"partition {number}", 0, 1, "filesystem", "ext4", **more)


VOLUMES = (
    volume(1, uuid="ABCD-1234", label="EFI"),
    volume(2, uuid="0a-0b", partition_uuid="11-22", partition_label="root"),
    volume(3, label="twice"),
    volume(4, label="twice"),
)


@pytest.mark.parametrize(
    ("spec", "number"),
    [
        ("UUID=abcd-1234", 1),
        ('UUID="ABCD-1234"', 1),
        ("LABEL=EFI", 1),
        ("LABEL=efi", None),
        ("PARTUUID=11-22", 2),
        ("PARTLABEL=root", 2),
        ("/dev/disk/by-uuid/0a-0b", 2),
        ("/dev/sda3", 3),
        ("/dev/vda4", 4),
        ("/dev/xvda1", 1),
        ("/dev/nvme0n1p2", 2),
        ("/dev/mmcblk0p2", 2),
        ("/dev/sdb1", None),
        ("/dev/nvme0n2p1", None),
        ("/dev/nvme1n1p1", None),
        ("/dev/sda9", None),
        ("/dev/sda", None),
        ("/dev/mapper/vg-root", None),
        ("LABEL=twice", None),
        ("LABEL=", None),
        ("UUID=", None),
        ("ID=x", None),
        ("tmpfs", None),
    ],
)
def test_a_spec_names_one_volume_of_this_disk_or_none(spec, number):
    found = find_volume(spec, VOLUMES)
    assert (found.number if found else None) == number


def test_lines_are_read_with_escapes_and_without_comments():
    text = "# comment\n\nLABEL=a\\040b /srv/my\\040data ext4 ro,noatime 0 2\n/dev/sda1 /boot\nx\n"
    one, two = read_fstab(text)
    assert (one.spec, one.path, one.type) == ("LABEL=a b", "/srv/my data", "ext4")
    assert one.options == {"ro", "noatime"}
    assert (two.spec, two.path, two.type) == ("/dev/sda1", "/boot", "auto")


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("UUID=1 /var ext4 defaults", True),
        ("UUID=1 /var auto", True),
        ("UUID=1 /data ext4 noauto", False),
        ("UUID=1 /data ext4 defaults,nofail", False),
        ("UUID=1 /data ext4 _netdev", False),
        ("proc /proc proc defaults", False),
        ("tmpfs /tmp tmpfs defaults", False),
        ("UUID=1 none swap sw", False),
        ("server:/x /mnt nfs defaults", False),
        ("x /mnt fuse.sshfs defaults", False),
        ("UUID=1 none ext4 defaults", False),
    ],
)
def test_only_volumes_that_the_guest_needs_of_its_own_disk_are_local(line, local):
    (found,) = read_fstab(line)
    assert found.local is local
