"""Whether a change needs instances that already run to be started anew, and why; pure.

What is told is what no package script can exchange below a running machine. A literal table, as
needs-restarting(1) has one of names too; the first row that fits decides.
"""

from __future__ import annotations

import re
from typing import Final

_ROWS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(
            r"linux-image-(?!.*-dbg$).*|kernel(-(rt|64k|debug|default|desktop|azure|uek|lt|ml))*"
            r"(-(core|base|uki-virt))?|linux-(lts|virt|stable|edge|rpi[0-9]?)"
        ),
        "a running machine keeps the kernel that it was started with",
    ),
    (
        re.compile(r"libc6|glibc|musl"),
        "every process keeps the C library that it was started with",
    ),
    (
        re.compile(r"systemd|sysvinit-core|openrc"),
        "it is the first process of a running machine",
    ),
    (
        re.compile(r"dbus(-(daemon|broker|system-bus-common))?"),
        "the system's bus cannot be started anew below those that use it",
    ),
    (
        re.compile(r"(amd64|intel|amd)-microcode|intel-ucode|amd-ucode|microcode_ctl|ucode-.*"),
        "the processor takes it when the machine starts",
    ),
    (
        re.compile(r"firmware-.*|linux-firmware(-.*)?|kernel-firmware(-.*)?"),
        "devices take it when the machine starts",
    ),
)


def restart_why(name: str) -> str:
    """Why instances have to be started anew for a new version of a package; empty where not."""
    return next((why for pattern, why in _ROWS if pattern.fullmatch(name)), "")
