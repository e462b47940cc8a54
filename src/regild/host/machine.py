"""A virtual machine (QEMU) that runs a guest to its end, over disks that regild serves.

QEMU opens nothing: disks come over sockets (`regild.host.blockserver`), the kernel and its initial
RAM disk in memory. Where the caller is root, of the machine or of a name space, QEMU is nobody and
has no capability. There is no network, or one in which the guest reaches nobody and only its own
ports can be reached. Emulated (TCG): that works on every machine, and none of the host's devices is
touched.
Source: qemu-system-x86_64(1), QEMU 7.2.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from regild.errors import CommandFailed, HostError
from regild.host.blockserver import BlockServer, Readable
from regild.host.monitor import Monitor
from regild.host.run import Finished, find_tool, run

MEMORY_MIB: Final = 1024
TRANSLATED_MIB: Final = 256
"""What QEMU may keep of translated code: with a guest of 1 GiB it stays below the 4 GiB of
address space that a confined stage has."""
REPORT_BYTES_MAX: Final = 64 << 20
CONSOLE_BYTES_MAX: Final = 16 << 20
"""A guest that boots says under 100 kB."""

NOBODY: Final = 65534

SECCOMP: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk of the machine, in the order of its drives (vda, vdb, ...)."""

    disk: Readable
    read_only: bool = False
    optical: bool = False
    """A CD, in an IDE drive of its own whatever the others hang on."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a machine has besides drives, as the guest expects it."""

    bus: str = "virtio"
    """What its drives hang on, a key of `CONTROLLERS`."""
    nic: str = ""
    """Its network card, a key of `CARDS`; empty: none."""
    forwards: tuple[tuple[int, int], ...] = ()
    """(port here, port of the guest)."""
    firmware: tuple[bytes, bytes] | None = None
    """UEFI's code and variables; None: the BIOS."""
    boot_drive: int = 0
    screen: bool = False
    local_time: bool = False
    """Its clock shows the time of here, as Windows takes it."""


CONTROLLERS: Final = {
    "virtio": ((), "virtio-blk-pci,drive={drive}"),
    "virtio-scsi": (("virtio-scsi-pci,id=disks",), "scsi-hd,bus=disks.0,drive={drive}"),
    "pvscsi": (("pvscsi,id=disks",), "scsi-hd,bus=disks.0,drive={drive}"),
    "lsi": (("lsi53c895a,id=disks,romfile=",), "scsi-hd,bus=disks.0,drive={drive}"),
    "sas": (("mptsas1068,id=disks",), "scsi-hd,bus=disks.0,drive={drive}"),
    "sata": (("ich9-ahci,id=disks",), "ide-hd,bus=disks.{number},drive={drive}"),
    "ide": ((), "ide-hd,bus=ide.{pair},unit={place},drive={drive}"),
}
"""For each bus its controllers, and what a drive on it is."""
OPTICAL: Final = "ide-cd,bus=ide.1,unit=1,drive={drive}"
"""The last place of the IDE controller that the machine has anyway."""
CARDS: Final = {
    "virtio": "virtio-net-pci",
    "e1000": "e1000",
    "e1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "pcnet": "pcnet",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs: drives, and the kernel with its options; without a kernel the first drive's boot
    loader."""

    drives: tuple[Drive, ...]
    kernel: bytes = b""
    initrd: bytes = b""
    options: str = ""
    memory_mib: int = MEMORY_MIB
    equipment: Equipment = Equipment()


@dataclass(frozen=True, slots=True)
class _Handles:
    """The open files that QEMU works on."""

    drives: tuple[int, ...]
    report: int
    kernel: int
    initrd: int
    firmware: tuple[int, int]


def run_machine(
    machine: Machine,
    *,
    purpose: str,
    console: IO[bytes],
    report: Callable[[bytes], None],
    timeout_seconds: float,
    watch: Callable[[], None] | None = None,
    monitor: Monitor | None = None,
) -> Finished:
    """Run a machine until it is powered off; what it says on its first serial port goes to
    `console`, what it says on its second to `report`, both bounded. `monitor` can look at it and
    end it meanwhile.

    The code is `regild.host.run.TIMED_OUT` where its time was up. A reset ends it too.

    Raises: ToolMissing; HostError on machines of another architecture; what the disks raised;
    CommandFailed when QEMU itself fails, or the guest says too much.
    """
    if platform.machine() != "x86_64":
        raise HostError(where="a virtual machine", why="guests are booted on x86-64 only")
    find_tool("qemu-system-x86_64", purpose)
    code, variables = machine.equipment.firmware or (b"", b"")
    with (
        _serving(machine.drives) as servers,
        _listening(report) as (channel, heard),
        _in_memory(machine.kernel) as kernel,
        _in_memory(machine.initrd) as initrd,
        _in_memory(code) as code_handle,
        _in_memory(variables) as variables_handle,
    ):
        drives = tuple(one.theirs.fileno() for one in servers)
        firmware = code_handle, variables_handle
        handles = _Handles(drives, channel, kernel, initrd, firmware)
        control = [monitor.handle, monitor.picture] if monitor else []
        finished = run(
            [*_without_rights(), *machine_line(machine, handles), *_controlled(monitor)],
            purpose=purpose,
            timeout_seconds=timeout_seconds,
            output=console,
            output_bytes=CONSOLE_BYTES_MAX,
            watch=watch,
            pass_fds=[*drives, channel, kernel, initrd, *firmware, *control],
            check=False,
        )
    for failure in (*(one.failure for one in servers), *heard):
        if failure is not None:
            raise failure
    return finished


def machine_line(machine: Machine, handles: _Handles) -> list[str]:
    """QEMU's command line; all that it works on are open file descriptors."""
    firmware = ",pflash0=code,pflash1=variables" if machine.equipment.firmware else ""
    line = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
    line += ["-machine", f"pc{firmware}", "-accel", f"tcg,thread=multi,tb-size={TRANSLATED_MIB}"]
    line += ["-cpu", "max", "-smp", "2", "-m", str(machine.memory_mib), "-no-reboot"]
    line += ["-sandbox", SECCOMP, "-device", "virtio-rng-pci"]
    line += _drives_line(machine, handles.drives) + _equipment_line(machine.equipment, handles)
    if machine.kernel:
        line += ["-kernel", f"/proc/self/fd/{handles.kernel}", "-append", machine.options]
        line += ["-initrd", f"/proc/self/fd/{handles.initrd}"] if machine.initrd else []
    line += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    return [*line, "-chardev", f"socket,id=report,fd={handles.report}", "-serial", "chardev:report"]


def _drives_line(machine: Machine, drives: Sequence[int]) -> list[str]:
    controllers, device = CONTROLLERS[machine.equipment.bus]
    line = [word for one in controllers for word in ("-device", one)]
    for number, (drive, handle) in enumerate(zip(machine.drives, drives, strict=True)):
        place = f"node-name=disk{number},server.type=fd,server.str={handle}"
        rights = "read-only=on" if drive.read_only else "discard=unmap"
        line += ["-blockdev", f"driver=nbd,{place},{rights}"]
        pair, unit = divmod(number, 2)
        kind = OPTICAL if drive.optical else device
        made = kind.format(drive=f"disk{number}", number=number, pair=pair, place=unit)
        first = not machine.kernel and number == machine.equipment.boot_drive
        line += ["-device", made + (",bootindex=0" if first else "")]
    return line


def _equipment_line(equipment: Equipment, handles: _Handles) -> list[str]:
    """Network, screen and firmware; the guest can reach nobody, whatever the network shows."""
    line = ["-device", "VGA"] if equipment.screen else []
    line += ["-rtc", "base=localtime"] if equipment.local_time else []
    if equipment.nic:
        passed = "".join(
            f",hostfwd=tcp:127.0.0.1:{ours}-:{its}" for ours, its in equipment.forwards
        )
        line += ["-netdev", f"user,id=net,restrict=on,ipv6=off{passed}"]
        line += ["-device", f"{CARDS[equipment.nic]},netdev=net,romfile="]
    if equipment.firmware:
        for name, handle in zip(("code", "variables"), handles.firmware, strict=True):
            fixed = "on" if name == "code" else "off"
            file = f"file.driver=file,file.filename=/proc/self/fd/{handle},file.locking=off"
            line += ["-blockdev", f"driver=raw,node-name={name},read-only={fixed},{file}"]
    return line


def _controlled(monitor: Monitor | None) -> list[str]:
    if monitor is None:
        return []
    return [
        "-chardev",
        f"socket,id=control,fd={monitor.handle}",
        "-mon",
        "chardev=control,mode=control",
    ]


def _without_rights() -> list[str | Path]:
    """What keeps QEMU from being anybody: it needs no right that an open file does not give."""
    tool = find_tool("setpriv", "to run a virtual machine without rights")
    line: list[str | Path] = [tool, "--no-new-privs"]
    if os.geteuid() == 0:
        line += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        line += ["--bounding-set=-all", "--inh-caps=-all"]
    return [*line, "--"]


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A file without a name that holds some bytes."""
    handle = os.memfd_create("regild")
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(content)
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _serving(drives: tuple[Drive, ...]) -> Iterator[list[BlockServer]]:
    """A server for each drive, for as long as the machine runs."""
    with contextlib.ExitStack() as stack:
        servers = []
        for drive in drives:
            servers.append(BlockServer(drive.disk, drive.read_only))
            stack.callback(servers[-1].close)
        yield servers


@contextlib.contextmanager
def _listening(report: Callable[[bytes], None]) -> Iterator[tuple[int, list[CommandFailed]]]:
    """A socket whose peer's words go to `report`, and a list that says when they were too many."""
    ours, theirs = socket.socketpair()
    failures: list[CommandFailed] = []
    listener = threading.Thread(target=_listen, args=(ours, report, failures), daemon=True)
    listener.start()
    try:
        yield theirs.fileno(), failures
    finally:
        theirs.close()
        listener.join()
        ours.close()


def _listen(
    ours: socket.socket, report: Callable[[bytes], None], failures: list[CommandFailed]
) -> None:
    left = REPORT_BYTES_MAX
    while piece := ours.recv(1 << 16):
        left -= len(piece)
        if left < 0:
            why = f"its guest reported more than {REPORT_BYTES_MAX} bytes"
            failures.append(CommandFailed(where="the virtual machine", why=why))
            ours.shutdown(socket.SHUT_RDWR)
            return
        report(piece)
