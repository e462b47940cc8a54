"""Registry hives in the true format: an empty one by its own structures, filled by hivexregedit."""

import struct
from pathlib import Path

from tests.image.disks import tool

ROOT_AT, SECURITY_AT = 0x20, 0x90
TIME = 0x01DA5B4C3E7D2A00
ROOT_NAME = b"ROOT"


def empty(path: Path) -> Path:
    """A hive of one key (Windows registry file format specification: base block, hive bin)."""
    head = struct.pack("<4sIIQIIIIIII", b"regf", 1, 1, TIME, 1, 3, 0, 1, ROOT_AT, 4096, 1)
    words = struct.unpack("<127I", head.ljust(508, b"\0"))
    check = 0
    for word in words:
        check ^= word
    descriptor = struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0)
    key = struct.pack(
        "<2sHQIIIIIIIIIIIIIIIHH", b"nk", 0x2C, TIME, 0, 0xFFFFFFFF, 0, 0, *([0xFFFFFFFF] * 2), 0,
        0xFFFFFFFF, SECURITY_AT, 0xFFFFFFFF, 0, 0, 0, 0, 0, len(ROOT_NAME), 0,
    )  # fmt: skip
    security = struct.pack("<2sHIIII", b"sk", 0, SECURITY_AT, SECURITY_AT, 1, len(descriptor))
    bin_ = bytearray(struct.pack("<4sIIIIQI", b"hbin", 0, 4096, 0, 0, TIME, 0).ljust(4096, b"\0"))
    cells = ((ROOT_AT, SECURITY_AT - ROOT_AT, key + ROOT_NAME), (SECURITY_AT, 48, security))
    for at, size, content in cells:
        cell = struct.pack("<i", -size) + content + (descriptor if at == SECURITY_AT else b"")
        bin_[at : at + len(cell)] = cell
    free = SECURITY_AT + 48
    struct.pack_into("<i", bin_, free, 4096 - free)
    content = head.ljust(508, b"\0") + struct.pack("<I", check)
    path.write_bytes(content.ljust(4096, b"\0") + bin_)
    return path


def hive(path: Path, keys: dict[str, dict[str, str | int]]) -> bytes:
    """A hive with keys and values, merged into an empty one; the bytes of the file."""
    lines = ["Windows Registry Editor Version 5.00", ""]
    made: dict[str, dict[str, str | int]] = {}
    for key, values in keys.items():
        parts = key.split("\\")
        for depth in range(1, len(parts)):
            made.setdefault("\\".join(parts[:depth]), {})
        made[key] = values
    for key, values in made.items():
        lines.append(f"[HKLM\\{key}]")
        for name, value in values.items():
            shown = f"dword:{value:08x}" if isinstance(value, int) else f'"{escaped(value)}"'
            lines.append(f'"{name}"={shown}')
        lines.append("")
    stated = path.with_suffix(".reg")
    stated.write_text("\n".join(lines))
    tool("hivexregedit", "--merge", "--prefix", "HKLM", empty(path), stated)
    return path.read_bytes()


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


VERSION = r"Microsoft\Windows NT\CurrentVersion"
CURRENT = r"Microsoft\Windows\CurrentVersion"
PACKAGES = rf"{CURRENT}\Component Based Servicing\Packages"
KEY = "31bf3856ad364e35"
CACHE = r"\\?\C:\Windows\SoftwareDistribution\Download\0f1e"

SERVER_2022: dict[str, dict[str, str | int]] = {
    VERSION: {
        "ProductName": "Windows Server 2022 Standard",
        "EditionID": "ServerStandard",
        "InstallationType": "Server Core",
        "DisplayVersion": "21H2",
        "CurrentBuild": "20348",
        "CurrentMajorVersionNumber": 10,
        "CurrentMinorVersionNumber": 0,
        "CurrentVersion": "6.3",
        "UBR": 2849,
        "BuildLabEx": "20348.1.amd64fre.fe_release.210507-1500",
    },
    rf"{PACKAGES}\Package_for_RollupFix~{KEY}~amd64~~20348.2849.1.13": {
        "CurrentState": 112,
        "InstallLocation": rf"{CACHE}\Windows10.0-KB5046616-x64.cab\\",
        "InstallName": "update.mum",
    },
    rf"{PACKAGES}\Package_for_RollupFix~{KEY}~amd64~~20348.2700.1.5": {
        "CurrentState": 80,
        "InstallLocation": rf"{CACHE}\Windows10.0-KB5044281-x64.cab\\",
    },
    rf"{PACKAGES}\Package_for_KB5046547~{KEY}~amd64~~10.0.9290.1": {"CurrentState": 96},
    rf"{PACKAGES}\Package_for_ServicingStack_2849~{KEY}~amd64~~20348.2849.1.0": {
        "CurrentState": 112,
    },
    rf"{PACKAGES}\Package_for_KB4000001~{KEY}~amd64~~10.0.1.0": {"CurrentState": 0},
    rf"{PACKAGES}\Microsoft-Windows-ServerCore-Package~{KEY}~amd64~~10.0.20348.1": {
        "CurrentState": 112,
    },
    rf"{CURRENT}\Uninstall\7-Zip": {
        "DisplayName": "7-Zip 24.08 (x64)",
        "DisplayVersion": "24.08",
        "Publisher": "Igor Pavlov",
    },
    rf"{CURRENT}\Uninstall\{{1D8E6291-B0D5-35EC-8441-6616F567A0F7}}": {"SystemComponent": 1},
    rf"WOW6432Node\{CURRENT}\Uninstall\{{F0C3E5D1-1ADE-321E-8167-68EF0DE699A5}}": {
        "DisplayName": "Microsoft Visual C++ 2010 x86 Redistributable",
        "DisplayVersion": "10.0.40219",
    },
    r"Policies\Microsoft\Windows\WindowsUpdate": {
        "WUServer": "http://sus:secret@wsus.example:8530",
        "WUStatusServer": "http://wsus.example:8530",
        "TargetGroupEnabled": 1,
        "TargetGroup": "Servers",
    },
    r"Policies\Microsoft\Windows\WindowsUpdate\AU": {"UseWUServer": 1, "AUOptions": 3},
}

SETUP: dict[str, str | int] = {
    "SetupType": 0,
    "CmdLine": r"oobe\windeploy.exe",
    "SystemSetupInProgress": 0,
}
"""What stands below SYSTEM\\Setup of a Windows that was set up."""
MACHINE: dict[str, dict[str, str | int]] = {
    "Select": {"Current": 1, "Default": 1},
    r"ControlSet001\Control\Session Manager\Environment": {"PROCESSOR_ARCHITECTURE": "AMD64"},
}
