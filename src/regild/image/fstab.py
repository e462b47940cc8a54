"""Which volume the guest mounts where, as its own /etc/fstab says.

fstab(5), mount(8); names of partitions as in the Linux kernel's block/partitions and udev's
/dev/disk links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regild.image.volumes import Volume

MAX_FSTAB_BYTES = 1 << 20
MAX_MOUNTS = 256

PSEUDO = frozenset(
    {
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts"),
        *("devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "none", "overlay", "proc"),
        *("pstore", "ramfs", "securityfs", "selinuxfs", "swap", "sysfs", "tmpfs", "tracefs"),
    }
)
NETWORK = frozenset(
    {"9p", "afs", "ceph", "cifs", "davfs", "glusterfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs"}
)
LEFT_OUT = frozenset({"noauto", "nofail", "_netdev"})

DATABASES = (
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/usr/share/rpm",
    "/lib/apk/db",
    "/usr/lib/apk/db",
    "/var/lib/pacman",
)
"""Where package managers keep what they installed; what is mounted over one hides or shows it."""

_DEVICE = re.compile(r"/dev/(?:[shv]d|xvd)([a-z]+)(\d+)|/dev/(?:nvme0n|mmcblk|loop)(\d+)p(\d+)")
_WHOLE = re.compile(r"/dev/(?:(?:[shv]d|xvd)a|nvme0n1|mmcblk0)")
_LOGICAL = re.compile(r"/dev/(?!disk/|mapper/)([^/]+)/([^/]+)")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an fstab."""

    spec: str
    path: str
    type: str
    options: frozenset[str]

    @property
    def bound(self) -> bool:
        """Whether it shows a folder of the tree at a second place."""
        return bool(self.options & {"bind", "rbind"})

    @property
    def subvolume(self) -> str | None:
        """The subvolume of btrfs that it mounts, by path or by number (btrfs(5)); None where it
        names none."""
        for option in sorted(self.options):
            name, equals, setting = option.partition("=")
            if equals and name == "subvol":
                # Digits alone would be taken for a number.
                return f"/{setting}"
            if equals and name == "subvolid" and setting.isascii() and setting.isdigit():
                return setting
        return None

    @property
    def local(self) -> bool:
        """Whether the guest needs this volume of its own disk to be whole."""
        if self.options & LEFT_OUT or not self.path.startswith("/"):
            return False
        elsewhere = self.type in PSEUDO or self.type in NETWORK or self.type.startswith("fuse")
        return self.bound or not elsewhere

    @property
    def over_database(self) -> bool:
        """Whether a package database would stand on what it mounts, and so must not be missed."""
        if self.type in PSEUDO or "noauto" in self.options or not self.path.startswith("/"):
            return False
        below = self.path.rstrip("/") + "/"
        return below != "/" and any(f"{place}/".startswith(below) for place in DATABASES)

    @property
    def counts(self) -> bool:
        """Whether it is mounted where its volume is there."""
        lenient = Line(self.spec, self.path, self.type, self.options - {"nofail"})
        return lenient.local or self.over_database

    @property
    def needed(self) -> bool:
        """Whether its volume, where it is missing, leaves something unknown."""
        return self.local or self.over_database


def read_fstab(text: str) -> Iterator[Line]:
    """The lines of an fstab in their order; comments and what has no path are left out."""
    for line in text.splitlines():
        fields = [_ESCAPE.sub(lambda m: chr(int(m[1], 8)), field) for field in line.split()]
        if len(fields) < 2 or fields[0].startswith("#"):
            continue
        kind = fields[2] if len(fields) > 2 else "auto"
        options = frozenset(fields[3].split(",")) if len(fields) > 3 else frozenset()
        yield Line(fields[0], fields[1], kind, options)


def find_volume(spec: str, volumes: Sequence[Volume]) -> Volume | None:
    """The volume that an fstab's first field names; None when it is not on this disk."""
    wanted = _wanted(spec)
    if wanted is None:
        return None
    field, value = wanted
    found = [volume for volume in volumes if _matches(volume, field, value)]
    return found[0] if len(found) == 1 else None


def _matches(volume: Volume, field: str, value: str) -> bool:
    own = str(getattr(volume, field))
    if field in _EXACT:
        return bool(value) and own == value
    return bool(value) and own.lower() == value.lower()


_TAGS = {
    "uuid": "uuid",
    "label": "label",
    "partuuid": "partition_uuid",
    "partlabel": "partition_label",
}

_EXACT = frozenset({"label", "partition_label", "device"})


def _wanted(spec: str) -> tuple[str, str] | None:
    """The field of a volume that a spec speaks of, and its value."""
    tag, equals, value = spec.partition("=")
    if equals and tag.lower() in _TAGS:
        return _TAGS[tag.lower()], value.strip('"')
    if spec.startswith("/dev/disk/by-"):
        tag, _, value = spec.removeprefix("/dev/disk/by-").partition("/")
        return (_TAGS[tag], value) if tag in _TAGS else None
    if spec.startswith("/dev/mapper/"):
        return "device", spec.removeprefix("/dev/mapper/")
    logical = _LOGICAL.fullmatch(spec)
    if logical:
        group, name = (part.replace("-", "--") for part in logical.groups())
        return "device", f"{group}-{name}"
    found = _DEVICE.fullmatch(spec)
    if found:
        letter, number, unit, part = found.groups()
        # The first disk only: /dev/sdb1 is a volume of a disk that is not this one.
        first = letter == "a" or (unit in ("0", "1") if unit else False)
        return ("number", number or part) if first else None
    return ("number", "0") if _WHOLE.fullmatch(spec) else None
