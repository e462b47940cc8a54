"""Does this machine's KVM work for guests? It is tried, with QEMU and for a bounded time.

Inside of some virtual machines /dev/kvm is there and its guests crash or hang, so that looking for
the file says nothing. The trial boots a sector that goes to long mode, turns paging on, asks for
the processor's name and ends QEMU by its debug device: with the processor model that guests get
(`host`), on which QEMU was seen to die at once where a made-up model got as far as a hanging Linux.
Source: Intel SDM 3A, 9.8.5 (to IA-32e mode); QEMU 7.2, hw/misc/debugexit.c (code = 2 * value + 1).
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from regild.errors import HostError
from regild.host.run import run

DEVICE = Path("/dev/kvm")
TRIAL_SECONDS = 10.0
SECTOR_BYTES = 512
GOOD_CODE = 2 * 0x10 + 1

_CODE = bytes.fromhex(
    "fa31c08ed88ec0bf0010b90018f3ab66c70600100320000066c70600200330000066c7060030830000000f01"
    "16887c0f20e06683c8200f22e066b8001000000f22d866b9800000c00f32660d000100000f300f20c0660d01"
    "0000800f22c0ea637c0800b9a0860100f390e2fc0fa2b010e6f4f40f1f440000000000000000000000000000"
    "009a20000f00787c"
)
"""Clears and fills page tables at 0x1000 to 0x3fff (the first 2 MiB as they are), loads a table of
one 64-bit code segment, sets CR4.PAE, EFER.LME, CR0.PG and CR0.PE, jumps; pauses 100,000 times,
CPUID, writes 0x10 to port 0xf4."""


@cache
def is_kvm_usable() -> bool:
    """Whether guests run by KVM here, for this user; tried once in a process's life."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return False
    handle = os.memfd_create("regild-trial")
    try:
        os.write(handle, _CODE.ljust(SECTOR_BYTES - 2, b"\0") + b"\x55\xaa")
        finished = run(
            trial_line(handle, "kvm", "host"),
            purpose="to try KVM",
            timeout_seconds=TRIAL_SECONDS,
            pass_fds=[handle],
            check=False,
        )
    except HostError:  # without QEMU there is nothing that could use it
        return False
    finally:
        os.close(handle)
    return finished.code == GOOD_CODE


def trial_line(handle: int, accelerator: str, model: str) -> list[str]:
    """QEMU's command line for the sector in an open file."""
    line = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
    line += ["-accel", accelerator, "-cpu", model, "-m", "64", "-no-reboot"]
    line += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    return [*line, "-drive", f"file=/proc/self/fd/{handle},format=raw,if=ide"]
