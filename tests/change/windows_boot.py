"""A guest that plays Windows in a real machine: Linux started by a boot loader from the same disk,
whose init does what the registry on its NTFS tells it.

The registry is read and written by hivex, NTFS by ntfs-3g, the medium by the kernel's own isofs.
"""

import shutil
from pathlib import Path

from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from tests.change.windows_guests import CLIENT, CONFIG, NEW_PACKAGE, NEW_UBR
from tests.describe.hives import PACKAGES, VERSION
from tests.image.disks import tool
from tests.rotate.tiny import packed

PROGRAMS = ("/usr/bin/hivexsh", "/usr/bin/ntfscat", "/usr/sbin/ntfscp")
GCONV = Path("/usr/lib/x86_64-linux-gnu/gconv")
CODES = ("UTF-16.so", "ISO8859-1.so", "gconv-modules", "gconv-modules.d")
"""What hivex needs of the C library to read and write texts of a registry."""
MODULES = (
    "drivers/scsi/scsi_common",
    "drivers/scsi/scsi_mod",
    "drivers/ata/libata",
    "drivers/ata/ata_piix",
    "drivers/scsi/sd_mod",
    "drivers/cdrom/cdrom",
    "drivers/scsi/sr_mod",
    "fs/isofs/isofs",
)
PART_AT, MBR = 2048 * 512, Path("/usr/lib/syslinux/mbr/mbr.bin")
INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /cd /tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in {modules}; do insmod /$module.ko; done
while [ ! -b /dev/sda2 ] || [ ! -b /dev/sr0 ]; do sleep 0.1; done
stty -F /dev/ttyS0 raw -echo
say() {{ printf '\r\nregild {{%s}}\r\n' "$1" >/dev/ttyS0; }}
off() {{ sync; $1 -f; sleep 60; }}
take() {{ ntfscat -f /dev/sda2 {config}/$1 >/tmp/$1; }}
put() {{ ntfscp -q -f /dev/sda2 /tmp/$1 {config}/$1; }}
told() {{ printf 'cd \\Setup\nlsval %s\n' $1 | hivexsh /tmp/SYSTEM 2>/dev/null; }}
start() {{ # type, command, values of the run's own
    {{
        echo 'cd \Setup'
        echo setval $((3 + $#  - 2))
        printf 'SetupType\ndword:%s\nCmdLine\nstring:%s\n' "$1" "$2"
        printf 'SystemSetupInProgress\ndword:0\n'
        [ $# = 2 ] || printf 'RegildNext\ndword:%s\n' "$3"
        echo commit
    }} >/tmp/start
    hivexsh -w -f /tmp/start /tmp/SYSTEM && put SYSTEM
}}
take SYSTEM
[ "$(told SetupType)" = 2 ] || off poweroff
case $(told CmdLine) in
'cmd /c for %i in (D E '*'do if exist %i:\REGILD.CMD call %i:\REGILD.CMD') ;;
*) off poweroff ;;
esac
mount -t iso9660 -o ro,norock /dev/sr0 /cd
[ -f /cd/regild.cmd ] || off poweroff
next=$(told RegildNext)
start 0 "$(sed -n "s/^ *Set-Start 0 '\(.*\)'.*/\1/p" /cd/run.ps1)"
say "\"say\":\"hello\",\"step\":${{next:-1}}"
sed -n "s/.*File = '\([^']*\)'; Sum = '\([0-9a-f]*\)'.*/\1 \2/p" /cd/run.ps1 >/tmp/steps
number=0
while read -r file sum; do
    number=$((number + 1))
    [ $number -ge ${{next:-1}} ] || continue
    say "\"say\":\"begin\",\"step\":$number"
    file=/cd/$(echo $file | tr A-Z a-z)
    if [ "$(sha256sum <$file | cut -c1-64)" != $sum ]; then
        say "\"say\":\"differs\",\"step\":$number"
        off poweroff
    fi
    code=0
    case $file in
    *.msu)
        take SOFTWARE
        hivexsh -w -f /install /tmp/SOFTWARE && put SOFTWARE || code=1
        ! grep -q restart $file || code=3010
        ;;
    *.ps1) ! grep -q hang $file || while :; do sleep 60; done ;;
    esac
    say "\"say\":\"end\",\"step\":$number,\"code\":$code"
    [ $code = 0 ] || [ $code = 3010 ] || off poweroff
    if [ $code = 3010 ]; then
        start 2 "$(sed -n "s/^ *Set-Start 2 '\(.*\)'.*/\1/p" /cd/run.ps1)" $((number + 1))
        say '"say":"restart"'
        off reboot
    fi
done </tmp/steps
say '"say":"done","build":"20348","ubr":{ubr}'
off poweroff
"""


def make_guest(ova: Path, folder: Path) -> None:
    """Make the guest's kernel `linux` and its `initrd` in a folder."""
    root = folder / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for program in PROGRAMS:
        shutil.copy(program, root / "bin")
        for line in tool("ldd", program).splitlines():
            for word in line.split():
                if word.startswith("/"):
                    place = root / word.lstrip("/")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(word, place)
    (root / str(GCONV).lstrip("/")).mkdir(parents=True)
    for name in CODES:
        copied = root / str(GCONV).lstrip("/") / name
        (shutil.copytree if (GCONV / name).is_dir() else shutil.copy)(GCONV / name, copied)
    with open_image(ova) as image, open_system(image, image.only_system) as system:
        tree = system.guest.tree
        (version,) = system.content.platform.kernels
        (folder / "linux").write_bytes(tree.read(f"/boot/vmlinuz-{version}", 64 << 20))
        for name in MODULES:
            content = tree.read(f"/usr/lib/modules/{version}/kernel/{name}.ko", 16 << 20)
            (root / f"{Path(name).name}.ko").write_bytes(content)
    names = " ".join(Path(name).name for name in MODULES)
    init = root / "init"
    init.write_text(INIT.format(modules=names, config=CONFIG, ubr=NEW_UBR))
    init.chmod(0o755)
    (root / "install").write_text(_installing())
    packed(root, folder / "initrd")


def make_bootable(disk: Path, folder: Path) -> None:
    """Put a boot loader with a guest that `make_guest` made into the first partition of a disk."""
    (folder / "syslinux.cfg").write_text(
        "DEFAULT linux\nPROMPT 0\nLABEL linux\nKERNEL linux\nINITRD initrd\nAPPEND quiet\n"
    )
    part = f"{disk}@@{PART_AT}"
    tool("mkfs.vfat", "-F", "16", "--offset", 2048, disk, 32 * 1024)
    tool("mcopy", "-i", part, *(folder / one for one in ("linux", "initrd", "syslinux.cfg")), "::")
    tool("syslinux", "--install", "--offset", PART_AT, disk)
    with disk.open("r+b") as file:
        file.write(MBR.read_bytes()[:440])


def _installing() -> str:
    """What a cumulative update leaves in the registry, as commands of hivexsh, which sets all the
    values of a key at once."""
    values = {**CLIENT[VERSION], "UBR": NEW_UBR}
    lines = [f"cd \\{VERSION}", f"setval {len(values)}"]
    for name, value in values.items():
        lines += [name, f"dword:{value}" if isinstance(value, int) else f"string:{value}"]
    name = NEW_PACKAGE.removeprefix(f"{PACKAGES}\\")
    lines += [f"cd \\{PACKAGES}", f"add {name}", f"cd {name}", "setval 1", "CurrentState"]
    return "\n".join([*lines, "dword:112", "commit", ""])
