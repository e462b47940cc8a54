"""Real rpm repositories in a folder: packages by rpmbuild, indexes by createrepo_c, signed by the
keys that apt's tests use too."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from pysequoia import SignatureMode, sign

from regild.model.content import Content, Keyring, Planning, Platform, Source
from tests.feeds.repositories import certificate, key

KEY_PATH = "/etc/pki/rpm-gpg/TEST"
URI = "http://mirror.example/fedora"

needs_createrepo = pytest.mark.skipif(
    shutil.which("rpmbuild") is None or shutil.which("createrepo_c") is None,
    reason="rpmbuild and createrepo_c are not installed here",
)


@dataclass(frozen=True)
class Rpm:
    """One tiny package."""

    name: str
    version: str = "1"
    release: str = "1"
    epoch: int = 0
    arch: str = "noarch"
    lines: tuple[str, ...] = ()
    """Further lines of its spec file's head."""
    files: tuple[str, ...] = ()

    @property
    def evr(self) -> str:
        plain = f"{self.version}-{self.release}"
        return f"{self.epoch}:{plain}" if self.epoch else plain

    @property
    def nevra(self) -> str:
        return f"{self.name}-{self.evr}.{self.arch}"

    @property
    def spec(self) -> str:
        head = [
            f"Name: {self.name}",
            f"Version: {self.version}",
            f"Release: {self.release}",
            *([f"Epoch: {self.epoch}"] if self.epoch else []),
            "Summary: s",
            "License: MIT",
            "Group: g",
            *(["BuildArch: noarch"] if self.arch == "noarch" else []),
            *self.lines,
        ]
        made = [
            line
            for path in self.files
            for line in (f"mkdir -p %{{buildroot}}{Path(path).parent}",
                         f"echo {self.nevra} > %{{buildroot}}{path}")
        ]  # fmt: skip
        parts = ["%description", "d", "%install", *made, "%files", *self.files]
        return "\n".join([*head, *parts, ""])


@cache
def _workshop() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="regild-rpms-"))
    atexit.register(shutil.rmtree, folder, True)
    return folder


_built: dict[Rpm, Path] = {}


def build(rpms: Iterable[Rpm]) -> list[Path]:
    """The package files of some packages, each made once in a run."""
    wanted = list(rpms)
    for arch in {one.arch for one in wanted}:
        specs = {}
        for one in dict.fromkeys(wanted):
            if one not in _built and one.arch == arch:
                specs[one] = _workshop() / f"{len(_built) + len(specs)}.spec"
                specs[one].write_text(one.spec)
        if not specs:
            continue
        top = Path(tempfile.mkdtemp(dir=_workshop()))
        for place, (one, spec) in enumerate(specs.items()):
            argv = ["rpmbuild", "--quiet", "-bb", "--define", f"_topdir {top}/{place}"]
            argv += ["--define", "_build_id_links none", "--target", arch, str(spec)]
            done = subprocess.run(argv, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr.decode()
            (_built[one],) = (top / str(place) / "RPMS").rglob("*.rpm")
    return [_built[one] for one in wanted]


def publish(
    folder: Path,
    rpms: Sequence[Rpm],
    *,
    updateinfo: str = "",
    modules: str = "",
    signer: str = "",
    packing: str = "gz",
    options: Sequence[str] = (),
) -> Path:
    """Make a repository of some packages in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in build(rpms):
        shutil.copy(path, folder / path.name)
    argv = ["createrepo_c", "-q", "--no-database", "--simple-md-filenames", *options]
    argv.append("--general-compress-type=gz")  # newer ones would take zstd
    _run([*argv, str(folder)])
    for kind, text in (("updateinfo", updateinfo), ("modules", modules)):
        if text:
            file = folder / f"{kind}.{'xml' if kind == 'updateinfo' else 'yaml'}"
            file.write_text(text)
            more = ["--mdtype", kind, f"--compress-type={packing}", str(file)]
            _run(["modifyrepo_c", *more, str(folder / "repodata")])
            file.unlink()
    if signer:
        sign_repository(folder, signer)
    return folder


def sign_repository(folder: Path, signer: str = "archive") -> None:
    repomd = folder / "repodata/repomd.xml"
    made = sign(key(signer).signer(), repomd.read_bytes(), mode=SignatureMode.DETACHED)
    repomd.with_name("repomd.xml.asc").write_bytes(made)


def _run(argv: Sequence[str]) -> None:
    subprocess.run(argv, capture_output=True, check=True)


def advisory(
    id: str, rpms: Sequence[Rpm], type: str = "security", cve: str = "", reboot: bool = False
) -> str:
    """One update of an updateinfo.xml."""
    packages = "".join(
        f'<package name="{one.name}" version="{one.version}" release="{one.release}"'
        f' epoch="{one.epoch}" arch="{one.arch}" src="{one.name}.src.rpm">'
        f"<filename>{one.name}-{one.version}-{one.release}.{one.arch}.rpm</filename>"
        f"{'<reboot_suggested>True</reboot_suggested>' if reboot else ''}</package>"
        for one in rpms
    )
    references = f'<reference href="x" id="{cve}" type="cve" title="{cve}"/>' if cve else ""
    return (
        f'<update from="a@mirror.example" status="final" type="{type}" version="1"><id>{id}</id>'
        f"<title>t</title><severity>Important</severity>"
        f'<issued date="2026-01-01 00:00:00"/><updated date="2026-01-01 00:00:00"/>'
        f"<references>{references}</references><description>d</description>"
        f'<pkglist><collection short="c"><name>c</name>{packages}</collection></pkglist></update>'
    )


def updateinfo(*advisories: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<updates>{"".join(advisories)}</updates>\n'


def source(id: str = "updates", uri: str = URI, **options: str) -> Source:
    told = {"gpgcheck": "0", "repo_gpgcheck": "0", "skip_if_unavailable": "0", **options}
    return Source(
        type="rpm-md",
        uri=uri,
        suite=id,
        signed_by=(KEY_PATH,),
        options=tuple(sorted(f"{name}={value}" for name, value in told.items())),
    )


def content_of(*sources: Source, keyring: bytes | None = None) -> Content:
    """An image of rpm with nothing installed, that names some sources."""
    ring = Keyring(KEY_PATH, certificate() if keyring is None else keyring)
    return Content(
        Platform("linux", "fedora", "39", "", "Fedora", "x86_64"),
        sources=sources,
        planning=Planning(type="rpm", architectures=("x86_64",), keyrings=(ring,)),
    )
