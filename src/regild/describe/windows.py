r"""What the registry of Windows says: product, edition and build, the updates that component-based
servicing installed, programs with an uninstaller, and where updates come from.

Keys and values: Microsoft Learn, "Inventory and evaluate Windows versions", "CBS servicing states",
"Uninstall registry key", "Additional Windows Update settings" (WSUS policies). The hives are read
by `regild.describe.hives`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from regild.describe.apt_sources import strip_credentials
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.describe.hives import Hive, Key, Values, Wanted, number_of, read_hive, text_of
from regild.errors import Malformed
from regild.model.content import Application, Package, Platform, Source, Unknown
from regild.model.purl import package_url

SOFTWARE = "/Windows/System32/config/SOFTWARE"
SYSTEM = "/Windows/System32/config/SYSTEM"
HIVE_LIMIT = 256 << 20
"""A SOFTWARE of a server of many years takes about 150 MB."""

VERSION = r"Microsoft\Windows NT\CurrentVersion"
SERVICING = r"Microsoft\Windows\CurrentVersion\Component Based Servicing"
PACKAGES = rf"{SERVICING}\Packages"
PENDING = rf"{SERVICING}\RebootPending"
UNINSTALL = r"Microsoft\Windows\CurrentVersion\Uninstall"
UNINSTALL_32 = r"WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall"
UPDATE_POLICY = r"Policies\Microsoft\Windows\WindowsUpdate"
AUTOMATIC_POLICY = rf"{UPDATE_POLICY}\AU"
SELECT = "Select"
ENVIRONMENT = r"Control\Session Manager\Environment"

UPDATE_PREFIX = "Package_for_"
"""How the packages of updates begin; all others are parts of the product itself."""
FIRST_WINDOWS_11 = 22000
"""From this build on a client is Windows 11, whatever its ProductName says."""

STATES = {
    5: "uninstall-pending",
    16: "resolving",
    32: "resolved",
    48: "staging",
    64: "staged",
    80: "superseded",
    96: "install-pending",
    101: "partially-installed",
    112: "installed",
    128: "installed",
}
"""CurrentState of a package; 128 is a permanent one. A package of the state 0 is not there."""

POLICIES = (
    "AUOptions",
    "NoAutoUpdate",
    "DoNotConnectToWindowsUpdateInternetLocations",
    "DisableWindowsUpdateAccess",
    "TargetReleaseVersion",
    "TargetReleaseVersionInfo",
    "ProductVersion",
    "DeferFeatureUpdatesPeriodInDays",
    "DeferQualityUpdatesPeriodInDays",
)
"""Settings that say what is taken and when; they become options of the source."""

_KB = re.compile(r"KB([0-9]{6,8})(?![0-9])", re.IGNORECASE)
_IDENTITY = re.compile(r"([^~]{1,200})~[^~]*~([^~]*)~[^~]*~([0-9]{1,10}(?:\.[0-9]{1,10}){0,4})")
_BUILD = re.compile(r"[0-9]{4,6}")


def read_windows(evidence: Evidence, known: Findings) -> Findings:
    """Platform, updates, programs and update settings of Windows; nothing for other guests."""
    try:
        if evidence.find(SOFTWARE) is None:
            return Findings()
        content = evidence.find_bytes(SOFTWARE, HIVE_LIMIT) or b""
        software = read_hive(content, _SOFTWARE_KEYS, SOFTWARE)
    except Unreadable as error:
        return Findings(unknowns=(unknown(error, SOFTWARE),), databases=(SOFTWARE,))
    arch, unknowns = _architecture(evidence)
    platform = _platform(software.key(VERSION), arch)
    unknowns += [Unknown(SOFTWARE, why) for why in software.damage]
    if not platform.version:
        unknowns.append(Unknown(SOFTWARE, "it does not say which build of Windows this is"))
    if PENDING in software.keys:
        why = "an update waits for a restart; what it changes is not in effect yet"
        unknowns.append(Unknown(f"{SOFTWARE}, {PENDING}", why))
    if PACKAGES not in software.keys:
        unknowns.append(Unknown(f"{SOFTWARE}, {PACKAGES}", "the list of updates is not there"))
    sources: tuple[Source, ...] = ()
    try:
        sources = tuple(_sources(software))
    except Malformed as error:
        unknowns.append(Unknown(f"{SOFTWARE}, {UPDATE_POLICY}", error.why))
    return Findings(
        platform=platform,
        packages=tuple(_updates(software.key(PACKAGES))),
        applications=(*_programs(software, UNINSTALL), *_programs(software, UNINSTALL_32)),
        sources=sources,
        unknowns=tuple(unknowns),
        databases=(SOFTWARE,),
    )


_SOFTWARE_KEYS = (
    Wanted(VERSION),
    Wanted(PACKAGES, UPDATE_PREFIX),
    Wanted(PENDING),
    Wanted(UNINSTALL, ""),
    Wanted(UNINSTALL_32, ""),
    Wanted(UPDATE_POLICY),
    Wanted(AUTOMATIC_POLICY),
)


def _architecture(evidence: Evidence) -> tuple[str, list[Unknown]]:
    """The machine's architecture, as the control set in use has it."""
    sets = [f"ControlSet{number:03}" for number in range(1, 4)]
    wanted = (Wanted(SELECT), *(Wanted(rf"{one}\{ENVIRONMENT}") for one in sets))
    try:
        content = evidence.find_bytes(SYSTEM, HIVE_LIMIT)
        if content is None:
            return "", [Unknown(SYSTEM, "the registry's part of the machine is not there")]
        system = read_hive(content, wanted, SYSTEM)
    except Unreadable as error:
        return "", [unknown(error, SYSTEM)]
    current = f"ControlSet{system.key(SELECT).number('Current') or 1:03}"
    arch = system.key(rf"{current}\{ENVIRONMENT}").text("PROCESSOR_ARCHITECTURE").lower()
    return arch, [Unknown(SYSTEM, why) for why in system.damage]


def _platform(version: Key, arch: str) -> Platform:
    """Product, edition and build; Windows 8.1 and older say their version as text."""
    build = version.text("CurrentBuild") or version.text("CurrentBuildNumber")
    build = build if _BUILD.fullmatch(build) else ""
    ubr = version.number("UBR") or _ubr_of(version.text("BuildLabEx"), build)
    if "currentmajorversionnumber" in version.values:
        release = (
            f"{version.number('CurrentMajorVersionNumber')}"
            f".{version.number('CurrentMinorVersionNumber')}"
        )
    else:
        release = version.text("CurrentVersion")
    name = version.text("ProductName")
    kind = version.text("InstallationType")
    server = kind.startswith("Server") or "Server" in name
    if not server and build and int(build) >= FIRST_WINDOWS_11:
        name = name.replace("Windows 10", "Windows 11", 1)
    return Platform(
        family="windows",
        id="windows-server" if server else "windows",
        version=".".join(filter(None, (release, build, str(ubr) if ubr else ""))) if build else "",
        codename=version.text("DisplayVersion") or version.text("ReleaseId"),
        name=name,
        arch=arch,
        edition=version.text("EditionID"),
        build=build,
        ubr=ubr,
    )


def _ubr_of(label: str, build: str) -> int:
    """The second number of BuildLabEx (`7601.24545.amd64fre...`), for what has no UBR."""
    parts = label.split(".")
    fits = len(parts) > 1 and parts[0] == build and parts[1].isascii() and parts[1].isdigit()
    return int(parts[1]) if fits and len(parts[1]) < 7 else 0


def _updates(packages: Key) -> Iterator[Package]:
    """The packages of updates, each by its own key."""
    for key, values in packages.subkeys:
        identity = _IDENTITY.fullmatch(key)
        number = number_of(values, "CurrentState")
        if identity is None or number == 0:
            continue
        name, arch, version = identity.groups()
        kb = _KB.search(name) or _KB.search(text_of(values, "InstallLocation"))
        shown = f"KB{kb[1]}" if kb else name
        yield Package(
            type="windows",
            name=shown,
            version=version,
            arch=arch,
            source=name,
            source_version=version,
            purl=package_url("generic", shown, version, namespace="windows", arch=arch),
            state=STATES.get(number, f"state-{number}"),
            where=SOFTWARE,
        )


def _programs(software: Hive, path: str) -> Iterator[Application]:
    r"""What has an uninstaller, in one view; of parts of others there is `ParentKeyName`."""
    for key, values in software.key(path).subkeys:
        name = text_of(values, "DisplayName")
        if name and not text_of(values, "ParentKeyName"):
            yield Application(
                name=name,
                version=text_of(values, "DisplayVersion"),
                where=f"{SOFTWARE}, {path}\\{key}",
                recipe="uninstaller",
            )


def _sources(software: Hive) -> Iterator[Source]:
    """The update server that a policy names, and Microsoft's own service, which has no address.

    Raises: Malformed when the server's address is none.
    """
    policy, automatic = software.key(UPDATE_POLICY), software.key(AUTOMATIC_POLICY)
    settings: Values = {**automatic.values, **policy.values}
    options = [f"{name}={text_of(settings, name)}" for name in POLICIES if name.lower() in settings]
    where = f"{SOFTWARE}, {UPDATE_POLICY}"
    stated = policy.text("WUServer")
    address, removed = strip_credentials(stated) if stated else ("", False)
    local = bool(address) and automatic.number("UseWUServer") == 1
    if address:
        yield Source(
            type="wsus",
            uri=address,
            suite=policy.text("TargetGroup") if policy.number("TargetGroupEnabled") else "",
            enabled=local,
            options=tuple(sorted([*options, *(["credentials=removed"] if removed else [])])),
            where=where,
        )
    closed = ("DoNotConnectToWindowsUpdateInternetLocations", "DisableWindowsUpdateAccess")
    yield Source(
        type="windows-update",
        uri="windows-update",
        suite="",
        enabled=not local and not any(number_of(settings, name) for name in closed),
        options=tuple(sorted(options)),
        where=where,
    )
