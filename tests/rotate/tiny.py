"""The smallest guest that can be run, watched and ended: the demo appliance's own kernel, and a
script that says what its disk holds and obeys the power button."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image

BUSYBOX = Path("/bin/busybox")
MODULES = (
    "virtio/virtio.ko",
    "virtio/virtio_ring.ko",
    "virtio/virtio_pci_modern_dev.ko",
    "virtio/virtio_pci_legacy_dev.ko",
    "virtio/virtio_pci.ko",
    "block/virtio_blk.ko",
    "input/evdev.ko",
    "acpi/button.ko",
)
INIT = """#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /$module; done
/bin/busybox sleep 1
told=$(/bin/busybox head -c 64 /dev/vda | /bin/busybox tr -d '\\0')
case $told in bad*) echo "TINY: broken"; while :; do /bin/busybox sleep 9; done;; esac
echo "TINY: ready on $told"
for device in /dev/input/event*; do
    (/bin/busybox head -c 1 "$device" >/dev/null && echo "TINY: goodbye" && {end}) &
done
while :; do /bin/busybox sleep 9; done
"""


@dataclass(frozen=True)
class Tiny:
    """Where the guest's kernel and initial RAM disks lie."""

    kernel: Path
    initrd: Path
    stubborn: Path
    """One that ignores the power button."""


def make_tiny(ova: Path, folder: Path) -> Tiny:
    """Take the kernel and its modules out of an appliance, and make the guest of them."""
    root = folder / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    with open_image(ova) as image, open_system(image, image.only_system) as system:
        tree = system.guest.tree
        (version,) = system.content.platform.kernels
        kernel = folder / "vmlinuz"
        kernel.write_bytes(tree.read(f"/boot/vmlinuz-{version}", 64 << 20))
        place = f"/usr/lib/modules/{version}/kernel/drivers"
        for name in MODULES:
            content = tree.read(f"{place}/{name}", 16 << 20)
            (root / Path(name).name).write_bytes(content)
    names = " ".join(Path(name).name for name in MODULES)
    made = {}
    for name, end in (("initrd", "/bin/busybox poweroff -f"), ("stubborn", "true")):
        (root / "init").write_text(INIT.format(modules=names, end=end))
        (root / "init").chmod(0o755)
        made[name] = packed(root, folder / name)
    return Tiny(kernel, made["initrd"], made["stubborn"])


def make_disk(path: Path, says: str) -> Path:
    """A generation's disk: a qcow2 file that begins with a few words."""
    raw = path.with_suffix(".raw")
    raw.write_bytes(says.encode().ljust(1 << 20, b"\0"))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, path], check=True)
    raw.unlink()
    return path


def packed(root: Path, target: Path) -> Path:
    """An initial RAM disk that holds a folder."""
    names = "\n".join(str(one.relative_to(root)) for one in sorted(root.rglob("*")))
    line = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
    with target.open("wb") as file:
        subprocess.run(line, cwd=root, input=names.encode(), stdout=file, check=True)
    return target
