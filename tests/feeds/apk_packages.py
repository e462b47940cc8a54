"""Package files of apk, written as apk's own tools write them (apk-v2(5)), also of what an
installed guest holds."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.feeds.apk_repositories import index, key, signature

SUM = "APK-TOOLS.checksum.SHA1"


@dataclass(frozen=True)
class Item:
    """One path of a package."""

    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    user: str = "root"
    group: str = "root"
    target: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


def folder(mode: int = 0o755, user: str = "root") -> Item:
    return Item(kind=tarfile.DIRTYPE, mode=mode, user=user, group=user)


def link(target: str) -> Item:
    return Item(kind=tarfile.SYMTYPE, mode=0o777, target=target)


def hard_link(target: str) -> Item:
    return Item(kind=tarfile.LNKTYPE, target=target)


@dataclass(frozen=True)
class Apk:
    """One package: its paths below the root folder, its scripts by name."""

    name: str
    version: str
    items: dict[str, Item] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    triggers: str = ""
    arch: str = "x86_64"
    origin: str = ""
    replaces: tuple[str, ...] = ()
    install_if: tuple[str, ...] = ()
    priority: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.apk"


def build(apk: Apk) -> tuple[bytes, str]:
    """The bytes of a package file, and its block in an index."""
    data = gzip.compress(_tar(apk.items), 1, mtime=0)
    # apk unpacks nothing of what states no size, so abuild states one where there is any path.
    size = max(sum(len(one.content) for one in apk.items.values()), len(apk.items) and 1)
    info = [("pkgname", apk.name), ("pkgver", apk.version), ("pkgdesc", "d"), ("url", "u"),
            ("size", str(size)), ("arch", apk.arch), ("license", "MIT"),
            ("origin", apk.origin or apk.name)]  # fmt: skip
    info += [("depend", one) for one in apk.depends]
    info += [("provides", one) for one in apk.provides]
    info += [("replaces", one) for one in apk.replaces]
    info += [("install_if", " ".join(apk.install_if))] if apk.install_if else []
    info += [("provider_priority", apk.priority)] if apk.priority else []
    info += [("triggers", apk.triggers)] if apk.triggers else []
    info += [("datahash", hashlib.sha256(data).hexdigest())]
    told = "".join(f"{name} = {value}\n" for name, value in info)
    texts = {".PKGINFO": Item(told.encode())}
    texts |= {name: Item(text.encode(), mode=0o755) for name, text in apk.scripts.items()}
    control = gzip.compress(_cut(_tar(texts)), mtime=0)
    packed = signature(control) + control + data
    identity = base64.b64encode(hashlib.sha1(control).digest()).decode()
    rows = {"C": f"Q1{identity}", "P": apk.name, "V": apk.version, "A": apk.arch,
            "S": str(len(packed)), "I": str(size), "T": "d", "U": "u", "L": "MIT",
            "o": apk.origin or apk.name, "D": " ".join(apk.depends),
            "p": " ".join(apk.provides), "r": " ".join(apk.replaces),
            "i": " ".join(apk.install_if), "k": apk.priority}  # fmt: skip
    return packed, "".join(f"{letter}:{value}\n" for letter, value in rows.items() if value)


def publish_packages(place: Path, packages: Iterable[Apk]) -> Path:
    """A signed repository of packages below a folder."""
    key()
    (place / "x86_64").mkdir(parents=True, exist_ok=True)
    blocks = []
    for one in packages:
        content, told = build(one)
        (place / "x86_64" / one.file_name).write_bytes(content)
        blocks.append(told)
    packed = index(blocks)
    (place / "x86_64/APKINDEX.tar.gz").write_bytes(signature(packed) + packed)
    return place


def _tar(items: dict[str, Item]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, one in items.items():
            member = tarfile.TarInfo(path)
            member.type, member.mode, member.linkname = one.kind, one.mode, one.target
            member.uname, member.gname, member.mtime = one.user, one.group, 1_700_000_000
            member.uid = member.gid = 0 if one.user == "root" else 1234
            if one.kind == tarfile.REGTYPE:
                member.size = len(one.content)
                member.pax_headers[SUM] = hashlib.sha1(one.content).hexdigest()
            if one.kind == tarfile.SYMTYPE:
                member.pax_headers[SUM] = hashlib.sha1(one.target.encode()).hexdigest()
            for name, value in one.attributes.items():
                member.pax_headers[f"SCHILY.xattr.{name}"] = value
            archive.addfile(member, io.BytesIO(one.content))
    return out.getvalue()


def _cut(tar: bytes) -> bytes:
    """A tar without its end, as the control part is."""
    return tar.rstrip(b"\0") + bytes(-len(tar.rstrip(b"\0")) % 512)


def installed_packages(root: Path) -> list[Apk]:
    """The packages of an installed guest, made anew of its files, scripts and triggers."""
    database = root / "lib/apk/db"
    triggers = dict(line.split(" ", 1) for line in (database / "triggers").read_text().splitlines())
    scripts: dict[str, dict[str, str]] = {}
    with tarfile.open(database / "scripts.tar.gz") as archive:
        for member in archive:
            name, _, kind = member.name.rpartition(".")
            file = archive.extractfile(member)
            assert file is not None
            scripts.setdefault(name.rpartition(".X1")[0], {})[f".{kind}"] = file.read().decode()
    made = []
    for block in (database / "installed").read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if line]
        if lines:
            made.append(_package(root, lines, triggers, scripts))
    return made


def _package(
    root: Path,
    lines: list[str],
    triggers: dict[str, str],
    scripts: dict[str, dict[str, str]],
) -> Apk:
    fields = {line[0]: line[2:] for line in lines if line[0] in "PVAoDpCrik"}
    items: dict[str, Item] = {}
    place = ""
    for line in lines:
        letter, value = line[0], line[2:]
        if letter == "F":
            place = value
            if value:
                items[value] = folder()
        elif letter == "M":
            items[place] = folder(int(value.split(":")[2], 8))
        elif letter == "R":
            path = f"{place}/{value}".lstrip("/")
            items[path] = _item(root / path)
    name = f"{fields['P']}-{fields['V']}"
    return Apk(
        fields["P"],
        fields["V"],
        items,
        scripts.get(name, {}),
        tuple(fields.get("D", "").split()),
        tuple(fields.get("p", "").split()),
        triggers.get(fields["C"], ""),
        fields["A"],
        fields.get("o", ""),
        tuple(fields.get("r", "").split()),
        tuple(fields.get("i", "").split()),
        fields.get("k", ""),
    )


def _item(path: Path) -> Item:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return link(str(path.readlink()))
    return Item(path.read_bytes(), mode=stat.S_IMODE(status.st_mode))


def database_of(packages: Iterable[Apk]) -> dict[str, str | bytes]:
    """What apk would keep of installed packages: its list of files, its archive of scripts."""
    blocks, scripts = [], {}
    for apk in packages:
        _, told = build(apk)
        lines = [told]
        for path, one in apk.items.items():
            place, _, name = path.rpartition("/")
            if one.kind == tarfile.DIRTYPE:
                lines.append(f"F:{path}\n")
                continue
            content = one.target.encode() if one.kind == tarfile.SYMTYPE else one.content
            if one.kind == tarfile.LNKTYPE:
                content = apk.items[one.target].content
            total = base64.b64encode(hashlib.sha1(content).digest()).decode()
            lines.append(f"F:{place}\nR:{name}\na:0:0:{one.mode:o}\nZ:Q1{total}\n")
        blocks.append("".join(lines) + "\n")
        identity = hashlib.sha1(told.encode()).hexdigest()
        for name, text in apk.scripts.items():
            scripts[f"{apk.name}-{apk.version}.X1{identity}{name}"] = Item(text.encode())
    return {
        "/lib/apk/db/installed": "".join(blocks),
        "/lib/apk/db/scripts.tar.gz": gzip.compress(_tar(scripts)),
    }
