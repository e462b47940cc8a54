"""Real apt repositories in a folder: tiny packages, indexes, and signed releases."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path

from backports import zstd
from pysequoia import SignatureMode, Tsk, sign

from regild.model.content import Content, Keyring, Package, Planning, Platform, Source

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
KEYRING = "/etc/apt/trusted.gpg.d/test.gpg"

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".xz": lzma.compress,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".zst": zstd.compress,
    ".bz2": bz2.compress,
}


def key(name: str = "archive") -> Tsk:
    """A signing key; the same for the whole run."""
    return _made_key(name)


@cache
def _made_key(name: str) -> Tsk:
    return Tsk.generate(f"{name} <{name}@mirror.example>")


def fingerprint(name: str = "archive") -> str:
    return key(name).extract_certificate().fingerprint


def certificate(name: str = "archive") -> bytes:
    return bytes(key(name).extract_certificate())


@dataclass(frozen=True)
class Deb:
    """One tiny package."""

    name: str
    version: str = "1.0"
    arch: str = "amd64"
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    data: str = ".xz"

    @property
    def control(self) -> str:
        own = {"Package": self.name, "Version": self.version, "Architecture": self.arch}
        rest = {"Maintainer": "A <a@mirror.example>", "Description": "x", "Installed-Size": "10"}
        return "".join(f"{k}: {v}\n" for k, v in {**own, **rest, **self.fields}.items())

    @property
    def file_name(self) -> str:
        return f"pool/{self.name}_{self.version.partition(':')[2] or self.version}_{self.arch}.deb"

    def written(self) -> bytes:
        """The package file's bytes (deb(5))."""
        control = _tar({"./control": self.control.encode()}, {})
        data = _tar({f".{path}": content for path, content in self.files.items()}, self.links)
        members = {
            "debian-binary": b"2.0\n",
            "control.tar.gz": PACKERS[".gz"](control),
            f"data.tar{self.data}": PACKERS[self.data](data),
        }
        out = b"!<arch>\n"
        for name, content in members.items():
            out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
            out += content + b"\n" * (len(content) % 2)
        return out

    def status(self, want: str = "install ok installed") -> str:
        """Its paragraph in dpkg's status."""
        first, _, rest = self.control.partition("\n")
        return f"{first}\nStatus: {want}\n{rest}"


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for path, target in links.items():
            member = tarfile.TarInfo(f".{path}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return out.getvalue()


@dataclass
class Suite:
    """One release of a repository, before it is written."""

    debs: Sequence[Deb]
    name: str = "stable"
    codename: str = ""
    label: str = "Test"
    components: tuple[str, ...] = ("main",)
    architectures: tuple[str, ...] = ("amd64",)
    date: datetime = NOW - timedelta(days=1)
    valid_until: datetime | None = None
    forms: tuple[str, ...] = ("", ".xz")
    listed: tuple[str, ...] | None = None
    """The forms that the release lists; None: those that are written."""
    by_hash: bool = False
    detached: bool = False
    all_within: bool = True
    signers: tuple[str, ...] = ("archive",)
    extra: str = ""


def publish(folder: Path, suite: Suite) -> None:
    """Write a suite's packages, indexes and signed release below a folder."""
    top = folder / "dists" / suite.name
    files: dict[str, bytes] = {}
    for component in suite.components:
        for arch in suite.architectures:
            text = index_text(folder, suite, component, arch)
            for form in suite.listed if suite.listed is not None else suite.forms:
                files[f"{component}/binary-{arch}/Packages{form}"] = PACKERS[form](text)
            for form in suite.forms:
                _write_index(top, f"{component}/binary-{arch}/Packages{form}", text, form, suite)
    write_release(top, release_text(suite, files), suite)


def _write_index(top: Path, path: str, text: bytes, form: str, suite: Suite) -> None:
    content = PACKERS[form](text)
    place = top / path
    if suite.by_hash:
        place = place.parent / "by-hash" / "SHA256" / hashlib.sha256(content).hexdigest()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def index_text(folder: Path, suite: Suite, component: str, arch: str) -> bytes:
    """A Packages file, and the packages that it lists written to the pool."""
    entries = []
    for deb in suite.debs:
        apart = deb.arch == "all" and not suite.all_within
        if deb.arch != arch and (deb.arch != "all" or apart):
            continue
        if deb.fields.get("Section", component) != component and "/" in deb.fields["Section"]:
            continue
        content = deb.written()
        place = folder / deb.file_name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entries.append(
            f"{deb.control}Filename: {deb.file_name}\nSize: {len(content)}\nSHA256: {digest}\n"
        )
    return "\n".join(entries).encode()


def release_text(suite: Suite, files: Mapping[str, bytes]) -> bytes:
    lines = [
        f"Origin: {suite.label}",
        f"Label: {suite.label}",
        f"Suite: {suite.name}",
        f"Codename: {suite.codename or suite.name}",
        f"Date: {format_datetime(suite.date).replace('+0000', 'UTC')}",
        f"Architectures: {' '.join(suite.architectures)}",
        f"Components: {' '.join(suite.components)}",
    ]
    if suite.valid_until:
        lines.append(f"Valid-Until: {format_datetime(suite.valid_until).replace('+0000', 'UTC')}")
    if suite.by_hash:
        lines.append("Acquire-By-Hash: yes")
    if suite.all_within and "all" in suite.architectures:
        lines.append("No-Support-for-Architecture-all: Packages")
    lines += [line for line in suite.extra.split("\n") if line]
    lines.append("SHA256:")
    for path, content in files.items():
        lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content):>8} {path}")
    return "\n".join(lines).encode() + b"\n"


def write_release(top: Path, text: bytes, suite: Suite) -> None:
    top.mkdir(parents=True, exist_ok=True)
    signer = key(suite.signers[0]).signer()
    if suite.detached:
        (top / "Release").write_bytes(text)
        (top / "Release.gpg").write_bytes(sign(signer, text, mode=SignatureMode.DETACHED))
    else:
        (top / "InRelease").write_bytes(sign(signer, text, mode=SignatureMode.CLEAR))


def content_of(
    installed: Sequence[Deb],
    sources: Sequence[Source],
    *,
    holds: Sequence[str] = (),
    auto: Sequence[str] = (),
    keyring: bytes | None = None,
    **planning: object,
) -> Content:
    """An image that holds some packages and names some sources."""
    paragraphs = [
        deb.status("hold ok installed" if deb.name in holds else "install ok installed")
        for deb in sorted(installed, key=lambda deb: (deb.name, deb.arch))
    ]
    stated = {
        "type": "deb",
        "status": "\n".join(paragraphs),
        "architectures": ("amd64",),
        "auto": tuple(f"{name}:amd64" for name in auto),
        "keyrings": (Keyring(KEYRING, certificate() if keyring is None else keyring),),
    }
    return Content(
        Platform("linux", "debian", "12", "bookworm", "Debian", "amd64"),
        packages=tuple(
            Package(
                "deb", deb.name, deb.version, deb.arch, source=deb.name, source_version=deb.version,
                hold=deb.name in holds, auto=deb.name in auto,
            )
            for deb in sorted(installed, key=lambda deb: (deb.name, deb.arch))
        ),
        sources=tuple(sources),
        planning=Planning(**{**stated, **planning}),  # type: ignore[arg-type]
    )  # fmt: skip
