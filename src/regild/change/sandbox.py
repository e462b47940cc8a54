"""The sandbox of guest commands: bubblewrap over the merged tree, with nothing of the host.

No network but a loopback, the guest's own name, own processes, own /dev with no device of the
machine, empty /run and /tmp, and only the capabilities that package scripts need (measured on 46
packages of Debian 12).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from regild.change.script import PLACE, STATE
from regild.errors import RecordRefused, RegildError
from regild.host.files import opened_inside

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)

NAMELESS = "localhost"
"""What systemd calls a machine that has no name."""
NAME_BYTES_MAX = 4096
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
"""hostname(5): at most 64 characters, those of a name in DNS."""

LINKS = {"/dev/mouse": "input/mice"}
"""Links of /dev that scripts make on any machine where they are missing (gpm), which nothing can do
here: /dev takes nothing new, for nothing bounds what it would hold."""

MEMORY_FOLDERS = {"run": "/run", "tmp": "/tmp", "shm": "/dev/shm"}


def sandbox_line(
    merged: Path,
    repository: Path,
    state: Path,
    memory: Path,
    environment: Mapping[str, str],
    *,
    calls: int,
    mounts: tuple[str, ...] = (),
    devices: tuple[str, ...] = (),
    shown: Mapping[str, Path] = MappingProxyType({}),
    read_only: bool = False,
) -> list[str]:
    """The bubblewrap command line before the guest's own: what it sees and may do.

    `state` is where apt keeps its lists from one command to the next, outside of the image.
    `memory` is a folder of bounded size for all that a running system keeps in memory;
    bubblewrap's own would each hold half of the machine's. `mounts` are where the guest mounts
    further volumes, parents first: as on the machine, nothing can be linked or renamed from one
    to another. `devices` are names of the guest's volumes below /dev: scripts ask whether such a
    device exists, and are shown a name that holds nothing. `shown` are files that lie over the
    guest's own for this one command; `read_only`: it cannot change any of the guest's. `calls` is
    the file descriptor of a filter of system calls (`host.syscalls`).
    """
    bind = "--ro-bind" if read_only else "--bind"
    line = ["bwrap", bind, str(merged), "/", "--dev", "/dev", "--proc", "/proc"]
    for mount in mounts:
        line += [bind, _mount_point(merged, mount), mount]
    for over, file in shown.items():
        line += ["--ro-bind", str(file), over]
    for name, place in MEMORY_FOLDERS.items():
        line += ["--bind", str(memory / name), place]
    for device in devices:
        line += ["--symlink", "/dev/null", device]
    for link, target in LINKS.items():
        line += ["--symlink", target, link]
    line += ["--remount-ro", "/dev", "--dir", "/run/lock"]
    if is_real_root():
        line += ["--ro-bind", "/proc/sys", "/proc/sys"]
    line += ["--ro-bind", str(repository), PLACE, "--bind", str(state), STATE]
    line += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    line += ["--unshare-cgroup-try", "--hostname", guest_name(merged)]
    line += ["--die-with-parent", "--new-session"]
    line += ["--seccomp", str(calls), "--cap-drop", "ALL"]
    for capability in CAPABILITIES:
        line += ["--cap-add", capability]
    line += ["--clearenv"]
    for name, value in environment.items():
        line += ["--setenv", name, value]
    return [*line, "--chdir", "/", "--"]


def guest_name(merged: Path) -> str:
    """What the guest calls itself: scripts name keys and mail domains after it."""
    try:
        with opened_inside(merged, "etc/hostname") as file:
            told = file.read(NAME_BYTES_MAX).decode(errors="replace")
    except (OSError, RegildError):
        return NAMELESS
    lines = [line.strip() for line in told.splitlines()]
    name = next((line for line in lines if line and not line.startswith("#")), "")
    return name if _NAME.fullmatch(name) else NAMELESS


def is_real_root() -> bool:
    """Whether id 0 here is the kernel's own root and no name space's, as in a user-mode kernel:
    then files of /proc/sys are its to write, whatever capabilities it gave up (measured)."""
    first, *more = Path("/proc/self/uid_map").read_text().splitlines()
    return first.split() == ["0", "0", str(2**32 - 1)] and not more


def _mount_point(merged: Path, mount: str) -> str:
    """A mount point in the merged tree, which no script has moved away or led elsewhere.

    Raises: RecordRefused.
    """
    place = str(merged)
    for name in mount.strip("/").split("/"):
        place = f"{place}/{name}"
        if not os.path.lexists(place) or not stat.S_ISDIR(os.lstat(place).st_mode):
            why = "a volume is mounted there, and a script put something else in its way"
            raise RecordRefused(where=mount, why=why)
    return place


def make_memory_folders(memory: Path) -> Path:
    """The folders in memory for one command, new and empty."""
    for name in MEMORY_FOLDERS:
        (memory / name).mkdir(parents=True)
        (memory / name).chmod(0o755 if name == "run" else 0o1777)
    return memory
