"""A stand-in for a Windows: real NTFS with real hives, and a machine that does as Windows would.

What starts the run is read out of the registry by hivex, the medium by xorriso, NTFS is written by
ntfs-3g: nothing of the code under test takes part.
"""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from regild.host.machine import Drive, Machine
from regild.host.run import Finished
from tests.describe.hives import MACHINE, PACKAGES, SERVER_2022, SETUP, VERSION, escaped, hive
from tests.image.disks import blank, tool
from tests.image.mounted import ntfs_mounted

MIB = 1 << 20
NTFS_AT, NTFS_BYTES = 33 * MIB, 12 * MIB
CONFIG = "Windows/System32/config"
CLIENT = {**SERVER_2022, VERSION: {**SERVER_2022[VERSION], "UBR": 2849}}
NEW_UBR = 2900
NEW_PACKAGE = rf"{PACKAGES}\Package_for_RollupFix~31bf3856ad364e35~amd64~~20348.2900.1.2"
STEP = re.compile(r"File = '([^']+)'; Sum = '([0-9a-f]{64})'")
CLEAR = re.compile(r"Set-Start 0 '([^']*)'")
AGAIN = re.compile(r"Set-Start 2 '([^']*)'")


def make_disk(path: Path, setup: dict[str, str | int] | None = None) -> Path:
    """A disk with a small partition for a boot loader, and an NTFS with the hives of a Windows."""
    folder = path.parent
    blank(path, NTFS_AT + NTFS_BYTES + MIB)
    table = "label: dos\n1 : start=2048, size=65536, type=6, bootable\n2 : start=67584, type=7\n"
    tool("sfdisk", "-q", path, text=table)
    volume = blank(folder / "volume", NTFS_BYTES)
    tool("mkntfs", "-q", "-F", volume)
    with ntfs_mounted(volume, folder / "mounted") as root:
        config = root / CONFIG
        config.mkdir(parents=True)
        (config / "SOFTWARE").write_bytes(hive(folder / "SOFTWARE", CLIENT))
        system = {**MACHINE, "Setup": SETUP if setup is None else setup}
        (config / "SYSTEM").write_bytes(hive(folder / "SYSTEM", system))
    with path.open("r+b") as file:
        file.seek(NTFS_AT)
        file.write(volume.read_bytes())
    volume.unlink()
    return path


@dataclass
class StandIn:
    """What takes the place of `run_machine`: a Windows that does what its registry tells it."""

    folder: Path
    codes: dict[str, int] = field(default_factory=dict)
    """What files end with, by their names on the medium; 0 where nothing is said."""
    keep_hook: bool = False
    silent: bool = False
    lies: bool = False
    """It reports a revision that its registry does not have."""
    does_nothing: bool = False
    """It says that it has installed what it has not."""
    spoilt: str = ""
    """A file of the medium that reads differently in the machine."""
    extra: bytes = b""
    """What else comes over the port before the run."""
    starts: int = 0

    def __call__(
        self, machine: Machine, *, console: IO[bytes], watch: Callable[[], None], **_: Any
    ) -> Finished:
        self.starts += 1
        system, medium = machine.drives
        assert not system.read_only and medium.read_only and medium.optical
        assert machine.equipment.local_time and not machine.equipment.nic
        console.write(self.extra)
        volume = self.folder / "volume"
        volume.write_bytes(system.disk.read(NTFS_AT, NTFS_BYTES))
        command = self._told(volume, "SYSTEM", "Setup", "CmdLine")
        if self._told(volume, "SYSTEM", "Setup", "SetupType") == "dword:00000002":
            assert "REGILD.CMD" in command and command.startswith('"cmd /c for %i in (')
            if not self.silent:
                self._run(volume, self._extracted(medium), console)
        before = system.disk.read(NTFS_AT, NTFS_BYTES)
        after = volume.read_bytes()
        for at in range(0, NTFS_BYTES, 4096):
            if before[at : at + 4096] != after[at : at + 4096]:
                system.disk.write(NTFS_AT + at, after[at : at + 4096])  # type: ignore[attr-defined]
        watch()
        return Finished(("stand-in",), 0, b"", b"", 0.0)

    def _run(self, volume: Path, medium: Path, console: IO[bytes]) -> None:
        def say(**said: object) -> None:
            console.write(b"\r\nregild " + json.dumps(said).encode() + b"\r\n")

        script = (medium / "RUN.PS1").read_text("utf-8-sig")
        noted = self._told(volume, "SYSTEM", "Setup", "RegildNext").removeprefix("dword:")
        step = int(noted or "1", 16)
        original = CLEAR.findall(script)[0]
        if not self.keep_hook:
            self._set(volume, "SYSTEM", "Setup", CmdLine=original, SetupType=0, RegildNext=None)
        say(say="hello", step=step)
        files = STEP.findall(script)
        for number, (name, meant) in list(enumerate(files, 1))[step - 1 :]:
            say(say="begin", step=number)
            found = tool("sha256sum", medium / name).split()[0]
            if found != meant or name == self.spoilt:
                say(say="differs", step=number)
                return
            code = self.codes.get(name, 0)
            if code in (0, 3010) and not self.does_nothing:
                self._install(volume)
            say(say="end", step=number, code=code)
            if code not in (0, 3010, 0x240006):
                return
            if code == 3010:
                again = AGAIN.findall(script)[0]
                self._set(
                    volume, "SYSTEM", "Setup", CmdLine=again, SetupType=2, RegildNext=number + 1
                )
                say(say="restart")
                return
        ubr = int(self._told(volume, "SOFTWARE", VERSION, "UBR").removeprefix("dword:"), 16)
        say(say="done", build="20348", ubr=ubr + self.lies)

    def _install(self, volume: Path) -> None:
        """What a cumulative update leaves in the registry."""
        self._set(volume, "SOFTWARE", VERSION, UBR=NEW_UBR)
        self._set(
            volume,
            "SOFTWARE",
            NEW_PACKAGE,
            CurrentState=112,
            InstallLocation=r"\\?\C:\Windows\Temp\Windows10.0-KB5050000-x64.cab" + "\\",
        )

    def _told(self, volume: Path, name: str, key: str, value: str) -> str:
        """A value as hivexregedit shows it; empty where there is none."""
        place = self._taken(volume, name)
        text = tool("hivexregedit", "--export", "--unsafe-printable-strings", place, f"\\{key}")
        found = re.search(rf'^"{value}"=(?:str\(1\):)?(.*)$', text, re.MULTILINE)
        return found[1] if found else ""

    def _set(self, volume: Path, name: str, key: str, **values: str | int | None) -> None:
        place = self._taken(volume, name)
        lines = ["Windows Registry Editor Version 5.00", "", f"[{key}]"]
        for value, content in values.items():
            shown = "-" if content is None else f'"{escaped(str(content))}"'
            shown = f"dword:{content:08x}" if isinstance(content, int) else shown
            lines.append(f'"{value}"={shown}')
        stated = self.folder / "set.reg"
        stated.write_text("\n".join(lines) + "\n")
        tool("hivexregedit", "--merge", place, stated)
        tool("ntfscp", "-q", "-f", volume, place, f"{CONFIG}/{name}")

    def _taken(self, volume: Path, name: str) -> Path:
        place = self.folder / name
        with place.open("wb") as file:
            line = ["ntfscat", "-f", str(volume), f"{CONFIG}/{name}"]
            subprocess.run(line, stdout=file, check=True)
        return place

    def _extracted(self, medium: Drive) -> Path:
        iso, out = self.folder / "read.iso", self.folder / f"medium{self.starts}"
        iso.write_bytes(medium.disk.read(0, medium.disk.size))
        tool("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", out)
        return out
