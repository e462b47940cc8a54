"""What a guest mounts besides its fstab: systemd's mount units, and partitions found by their type.

systemd.mount(5), systemd.unit(5), systemd-gpt-auto-generator(8) and the Discoverable Partitions
Specification. A unit counts when something wants it, or when it stands over a package database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regild.errors import InputError, MissingFile, TooLarge, UnsupportedError
from regild.image.fstab import MAX_MOUNTS, Line
from regild.image.paths import MountedTree
from regild.image.volumes import Volume
from regild.model.content import Unknown

FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
"""Where units stand; a name in an earlier folder hides the same name in a later one."""
MAX_UNIT_BYTES = 64 << 10
MAX_NAMES = 4096

DISCOVERED = {
    "4D21B016-B534-45C2-A9FB-5C16E091FD2D": "/var",
    "8484680C-9521-48C6-9C11-B0720656F69E": "/usr",
    "B0E01050-EE5F-4390-949A-9101B17104E9": "/usr",
    "75250D76-8CC6-458E-BD66-BD47CC81A812": "/usr",
    "933AC7E1-2EB4-4F13-B844-0E14E2AEF915": "/home",
    "3B8F8425-20E0-4F3B-907F-1A25A76F98E8": "/srv",
}
"""Types of partitions that are mounted where nothing else is; /usr of x86-64, arm64 and x86."""


def read_units(tree: MountedTree) -> tuple[list[Line], list[Unknown]]:
    """The mounts that the guest's units ask for, as lines of an fstab, and what cannot be read."""
    lines: list[Line] = []
    unknowns: list[Unknown] = []
    try:
        places, wanted = _units(tree)
    except (InputError, UnsupportedError) as error:
        return [], [Unknown(FOLDERS[0], error.why)]
    for name, folder in sorted(places.items()):
        try:
            line = _line(tree, folder, name)
        except MissingFile:
            continue
        except (InputError, UnsupportedError) as error:
            unknowns.append(Unknown(f"{folder}/{name}", error.why))
            continue
        if line is not None and (name in wanted or line.over_database):
            lines.append(line)
    return lines, unknowns


def discovered(tree: MountedTree, volumes: Sequence[Volume], taken: set[str]) -> Iterator[Line]:
    """The mounts of partitions that tell by their type where they belong, where nothing is yet."""
    for volume in volumes:
        path = DISCOVERED.get(volume.partition_type)
        if path is None or path in taken or not volume.partition_uuid:
            continue
        try:
            filled = bool(tree.names(path))
        except MissingFile:
            filled = False
        if not filled:
            taken.add(path)
            yield Line(f"PARTUUID={volume.partition_uuid}", path, "auto", frozenset())


def _units(tree: MountedTree) -> tuple[dict[str, str], set[str]]:
    """The folder of every mount unit by its name, and the names that other units want."""
    places: dict[str, str] = {}
    wanted: set[str] = set()
    for folder in FOLDERS:
        for name in _names(tree, folder):
            if name.endswith(".mount"):
                places.setdefault(name, folder)
            elif name.endswith((".wants", ".requires")):
                wanted.update(_names(tree, f"{folder}/{name}"))
    wanted |= {f"{name.removesuffix('.automount')}.mount" for name in set(wanted)}
    if len(places) > MAX_MOUNTS:
        raise TooLarge(where=FOLDERS[0], why=f"there are {len(places)} mount units")
    return places, wanted


def _names(tree: MountedTree, folder: str) -> tuple[str, ...]:
    try:
        names = tree.names(folder)
    except MissingFile:
        return ()
    if len(names) > MAX_NAMES:
        raise TooLarge(where=folder, why=f"the folder holds {len(names)} names")
    return names


def _line(tree: MountedTree, folder: str, name: str) -> Line | None:
    """What a unit mounts, with its drop-ins laid over it; None for one that is masked."""
    node = tree.find(f"{folder}/{name}")
    if node is not None and node.kind == "symlink" and node.target == "/dev/null":
        return None
    settings = _settings(tree, f"{folder}/{name}")
    for above in reversed(FOLDERS):
        for part in _names(tree, f"{above}/{name}.d"):
            if part.endswith(".conf"):
                settings |= _settings(tree, f"{above}/{name}.d/{part}")
    what, where = settings.get("What", ""), settings.get("Where", "")
    if not what or not where.startswith("/"):
        return None
    options = frozenset(settings.get("Options", "").split(","))
    return Line(what, where, settings.get("Type", "auto"), options)


def _settings(tree: MountedTree, path: str) -> dict[str, str]:
    """The settings of a file's [Mount] sections; the last of each name counts."""
    found: dict[str, str] = {}
    section = ""
    text = tree.read(path, MAX_UNIT_BYTES).decode("utf-8", "replace")
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Mount]" and "=" in line and line[0] not in "#;":
            name, _, setting = line.partition("=")
            found[name.strip()] = setting.strip()
    return found
