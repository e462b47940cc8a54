"""What a booted guest is told: the plan's commands as one shell script beside the packages.

The script and the packages lie on a read-only drive of their own; the kernel's command line has
systemd mount it and run the script (`regild.change.start`), so nothing is put into the guest. What
the script shows to the packages' scripts (policy-rc.d, settings for an initial RAM disk of any
machine) it binds over the guest's files and takes away again; so it does with the kernel's command
line, once its masks have done their work (systemd-debug-generator(8)).
The initial RAM disk and GRUB's menu are not made here, where a processor is emulated: programs of
their names come first in the path, write down that they were called, and the work is done apart
(`regild.change.boot_chain`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from regild.change.apt import DPKG_PATH
from regild.change.boot_chain import DRACUT, INITRAMFS, MENU
from regild.change.family import Family
from regild.change.script import PLACE, STATE, GuestCommand

SCRIPT: Final = "run.sh"
LINE_BYTES_MAX: Final = 1 << 20
CALLS_MAX: Final = 1000
"""How many calls of what is made later are believed."""
FIRST: Final = f"{PLACE}/first"
"""The folder that comes first in the path."""
CMDLINE: Final = "/proc/cmdline"
EARLY: Final = "/run/systemd/generator.early"
"""Where systemd keeps what the kernel's command line masks; written anew at every reload."""
OWN_OPTIONS: Final = "own-options"
_SHOWN_OPTIONS: Final = (
    f"unshare --mount -- sh -c 'mount -o bind {PLACE}/{OWN_OPTIONS} {CMDLINE} && exec \"$@\"' own "
)
"""Each command by itself: a reload of systemd has to find this boot's command line, or it would
forget to power off."""
MKCONFIG: Final = "/usr/sbin/grub-mkconfig"

_HEAD = f"""\
#!/bin/sh
exec >/dev/ttyS1 2>&1 </dev/null
stty -F /dev/ttyS1 raw -echo
made= shown=
say() {{ printf '\\n\\001regild %s\\n' "$*"; }}
finish() {{
    for place in $shown; do umount "$place"; done
    for place in $made; do rm -f "$place"; done
    for queue in initramfs menu; do
        [ ! -s {STATE}/$queue ] || while read -r line; do
            say later $queue "$line"
        done <{STATE}/$queue
    done
    sync
    say done
    exit 0
}}
show() {{
    [ -e "$2" ] || {{ : >"$2"; made="$made $2"; }}
    mount -o bind "$1" "$2"
    shown="$2 $shown"
}}
run() {{
    say begin "$1"
    number=$1
    shift
    "$@"
    code=$?
    say end "$number" $code
    [ $code = 0 ] || finish
}}
mkdir -p {STATE}
for settings in /etc/initramfs-tools/initramfs.conf /etc/initramfs-tools/conf.d/*; do
    grep -qsE '^[[:space:]]*MODULES[[:space:]]*=[[:space:]]*["'"'"']?dep' "$settings" || continue
    copy={STATE}/$(basename "$settings")
    sed -E 's/^([[:space:]]*MODULES[[:space:]]*=).*/\\1most/' "$settings" >"$copy"
    show "$copy" "$settings"
done
if [ -d /etc/dracut.conf.d ]; then
    echo 'hostonly=no' >{STATE}/dracut.conf
    show {STATE}/dracut.conf /etc/dracut.conf.d/zz-regild.conf
fi
# What was left out of this boot is masked, and a masked unit cannot be switched on by its package.
sed 's/ systemd\\.mask=[^ ]*//g' {CMDLINE} >{STATE}/cmdline
show {STATE}/cmdline {CMDLINE}
for unit in {EARLY}/*; do
    [ "$(readlink "$unit")" != /dev/null ] || rm "$unit"
done
# The drive that GRUB was once told to be written to may have another name here.
for drive in $(debconf-show grub-pc 2>/dev/null | sed -n 's/.*install_devices: //p' | tr -d ','); do
    [ -e "$drive" ] || {{ mkdir -p "$(dirname "$drive")"; ln -s /dev/vda "$drive"; }}
done
"""


def write_script(
    folder: Path, commands: Iterable[GuestCommand], family: Family, options: str = ""
) -> None:
    """Put the script and what it shows into the folder that becomes the read-only drive.

    `options` is the kernel's command line with which the guest starts by itself, which commands
    see in place of this boot's: who installs a kernel writes what he finds there into its boot
    entry (kernel-install(8)). systemd goes on seeing this boot's.
    """
    settings = dict(family.environment)
    if family.boots_later:
        settings |= _write_first(folder, settings)
    lines = [f"mkdir -p {STATE}/{name}" for name in family.folders]
    for place, text in family.injected.items():
        shown = folder / Path(place).name
        shown.write_text(text)
        shown.chmod(0o755)
        lines.append(f"show {PLACE}/{shown.name} {place}")
    if options:
        (folder / OWN_OPTIONS).write_text(f"{options}\n")
    start = _SHOWN_OPTIONS if options else ""
    lines += [
        f"run {number} {start}env -i {_settings(settings)} {shlex.join(command.argv)}"
        for number, command in enumerate(commands)
    ]
    (folder / SCRIPT).write_text("\n".join([_HEAD, *lines, "finish", ""]))


def _write_first(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Put what comes first in the path into the folder; the settings that make it so."""
    place = folder / Path(FIRST).name
    place.mkdir(exist_ok=True)
    for real, queue in ((INITRAMFS, "initramfs"), (MENU, "menu")):
        program = place / Path(real).name
        program.write_text(_LATER.format(real=real, queue=queue))
        program.chmod(0o755)
    changed = {"PATH": f"{FIRST}:{environment['PATH']}"}
    if (apt := folder / "apt.conf").exists():
        text = apt.read_text() + f'DPkg::Path "{FIRST}:{DPKG_PATH}";\n'
        (folder / "booted.conf").write_text(text)
        changed["APT_CONFIG"] = f"{PLACE}/booted.conf"
    return changed


_LATER: Final = f"""\
#!/bin/sh
# Done once, apart, when all is in place: where GRUB starts the guest, its root lies on a plain
# partition or in LVM, and nothing looks for the files at once. Dracut has to see this machine.
later() {{{{
    [ ! -x {DRACUT} ] && [ -x {MKCONFIG} ] || return 1
    root=$(findmnt -nvo SOURCE /)
    case $root in
    /dev/vda[0-9]*) ;;
    /dev/mapper/*) [ "$(lsblk -ndo TYPE "$root")" = lvm ] || return 1 ;;
    *) return 1 ;;
    esac
    for hook in /etc/initramfs/post-update.d/* /etc/kernel/postinst.d/[j-z]*; do
        case ${{{{hook##*/}}}} in
        '*' | '[j-z]*' | unattended-upgrades | zz-update-grub) ;;
        *) return 1 ;;
        esac
    done
}}}}
[ -x {{real}} ] || exit 0
case " $* " in
*" -d "* | *" --version "* | *" --help "*) exec {{real}} "$@" ;;
esac
later || exec {{real}} "$@"
echo "$*" >>{STATE}/{{queue}}
"""


def _settings(environment: Mapping[str, str]) -> str:
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())


class Report:
    """What the script says, as it comes in: each command's words and how it ended.

    A guest can say anything here; the answer is believed only after what it changed was judged.
    """

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.codes: dict[int, int] = {}
        self.is_done = False
        self.later: dict[str, list[str]] = {}
        """Calls of what is made apart afterwards, by what it makes."""
        self._said: dict[int, bytearray] = {}
        self._rest = b""
        self._running: int | None = None

    def take(self, content: bytes) -> None:
        """Take in some more of what the guest says; lines without end are cut."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._take_line(line.rstrip(b"\r"))

    def said(self, number: int) -> str:
        """What a command said."""
        return bytes(self._said.get(number, b"")).decode(errors="replace")

    def _take_line(self, line: bytes) -> None:
        found = _OWN.fullmatch(line)
        if found is None:
            if self._running is not None:
                self._said.setdefault(self._running, bytearray()).extend(line + b"\n")
        elif found["begin"]:
            self._running = int(found["begin"])
            self.begun.append(self._running)
        elif found["end"]:
            self._running = None
            self.codes[int(found["end"])] = int(found["code"])
        elif found["queue"]:
            calls = self.later.setdefault(found["queue"].decode(), [])
            if len(calls) < CALLS_MAX:
                calls.append(found["call"].decode())
        else:
            self.is_done = True


_OWN = re.compile(
    rb"\x01regild (?:begin (?P<begin>\d{1,3})|end (?P<end>\d{1,3}) (?P<code>\d{1,3})|done"
    rb"|later (?P<queue>initramfs|menu) (?P<call>[A-Za-z0-9 ._+~/:-]{0,200}))"
)
