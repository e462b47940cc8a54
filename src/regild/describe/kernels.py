"""Which kernels the guest can boot: the `vmlinuz-VERSION` under /boot."""

from __future__ import annotations

import re

from msgspec.structs import replace

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.model.versions import debian_key

BOOT = "/boot"
MODULES = "/lib/modules"
KERNELS_LIMIT = 200

_KERNEL = re.compile(r"(?:vmlinuz|vmlinux|Image)-([0-9][A-Za-z0-9.+~_-]{0,120})")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~_-]{0,120}")
_LEFTOVER = (".old", ".bak", ".dpkg-tmp", ".dpkg-new")


def read_kernels(evidence: Evidence, known: Findings) -> Findings:
    """The platform with its kernels, oldest first; where /boot holds none, those that keep their
    image beside their modules."""
    try:
        found = [match[1] for name in evidence.names(BOOT) if (match := _KERNEL.fullmatch(name))]
        found = [version for version in found if not version.endswith(_LEFTOVER)]
        if not found:
            found = [
                name
                for name in evidence.names(MODULES)
                if _VERSION.fullmatch(name) and evidence.find(f"{MODULES}/{name}/vmlinuz")
            ]
    except Unreadable as error:
        return Findings(unknowns=(unknown(error, BOOT),))
    kernels = tuple(sorted(found, key=debian_key)[-KERNELS_LIMIT:])
    return (
        Findings(platform=replace(known.known_platform, kernels=kernels)) if kernels else Findings()
    )
