"""What reads repositories, advisories and package files."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator

from regild.errors import RegildError
from tests.fuzz.targets.guests import STATUS
from tests.fuzz.targets.target import Target, file_of, texts


def run_advisories(content: bytes) -> None:
    """Read a feed of advisories, whatever format it has."""
    from regild.feeds.advisories.kinds import read_file

    for told in read_file(file_of(content), "the feed"):
        assert told.kind


def run_repomd(content: bytes) -> None:
    """Read what an rpm repository says of itself."""
    from regild.feeds.repomd import is_inside, read_repomd

    assert all(is_inside(part.href) for part in read_repomd(content, "x").parts.values())


def run_primary(content: bytes) -> None:
    """Make the table of an index of rpm, and read its first offers."""
    from regild.feeds.primary import make_table, read_offer

    table = make_table(file_of(content), "the index")
    for begin, end in itertools.islice(itertools.chain(*table.values()), 20):
        with contextlib.suppress(RegildError):
            assert read_offer(content[begin:end], "the index").version


def run_filelists(content: bytes) -> None:
    """Look through a list of all files of an rpm repository."""
    from regild.feeds.filelists import survey

    assert survey(file_of(content), "the list") == len(content)


def run_updateinfo(content: bytes) -> None:
    """Read the advisories of an rpm repository."""
    from regild.feeds.updateinfo import read_notices

    assert all(one.id.isprintable() for one in read_notices(io.BytesIO(content), "x"))


def run_modules(content: bytes) -> None:
    """Read the modules of an rpm repository."""
    from regild.feeds.modules import read_modules
    from regild.model.digest import canonical

    assert canonical(read_modules(content, "x"))


def run_rpm_file(content: bytes) -> None:
    """Read a package file of rpm and look for who signed it."""
    from regild.feeds.keys import Trust
    from regild.feeds.rpm_file import check_package, read_package
    from tests.feeds.repositories import NOW

    assert read_package(io.BytesIO(content), "the package").header.identity.name
    with contextlib.suppress(RegildError):
        check_package(file_of(content, ".rpm"), Trust(()), NOW, "the package")
        raise AssertionError("nobody is trusted, and it was believed")


def run_apk_file(content: bytes) -> None:
    """Read a package file of apk: what it is named by, and what it puts into a guest."""
    from regild.feeds.apk_file import measure, read_shipped
    from regild.model.digest import Digest
    from regild.model.plan import Archive

    archive = Archive("x", "x.apk", Digest("sha1:" + "0" * 40), len(content))
    with contextlib.suppress(RegildError):
        measure(io.BytesIO(content), archive)
    assert all(one.path.startswith("/") for one in read_shipped(file_of(content), "x", "").paths)


def run_apk_index(content: bytes) -> None:
    """Look for who signed an index of apk, and read it as if somebody had."""
    from regild.feeds.apk import first_member, unpack_index, verify_index
    from regild.model.apk_blocks import read_blocks, read_relations

    with contextlib.suppress(RegildError):
        verify_index(content, (), "the index")
        raise AssertionError("nobody is trusted, and it was believed")
    _, rest = first_member(content, 1 << 20, "the index")
    text, _ = unpack_index(rest, "the index")
    for block in read_blocks(text.decode(errors="replace"), "the index"):
        list(read_relations(block.get("D", "")))


def run_release(content: bytes) -> None:
    """Read a release file."""
    from regild.feeds.release import read_release

    read_release(content, "the release")


def run_packages(content: bytes) -> None:
    """Make the table of an index, and read its first offers."""
    from regild.feeds.packages import make_table, read_offer

    make_table(file_of(content), "the index")
    for stanza in content.split(b"\n\n")[:20]:
        with contextlib.suppress(RegildError):
            read_offer(stanza, "the index")


def run_deb(content: bytes) -> None:
    """Read a package file's control and its changelog."""
    from regild.feeds.changelog import find_changelog
    from regild.feeds.deb import read_control
    from regild.feeds.shipped import read_shipped

    path = file_of(content, ".deb")
    read_control(path)
    read_shipped(path, "a", "all")
    find_changelog(path)


def run_changelog(content: bytes) -> None:
    """Read the CVEs of a changelog."""
    from regild.feeds.changelog import read_cves

    read_cves(content.decode(errors="replace"), "1.0-1")


def seeds_of_advisories() -> Iterator[bytes]:
    from tests.feeds.advisories import samples

    yield from (samples.UPDATEINFO, samples.CVRF, samples.text(samples.CVRF_JSON))
    made = (samples.osv, samples.tracker, samples.csaf, samples.secdb, samples.kev)
    yield from (samples.text(one()) for one in made)


def seeds_of_apk_indexes() -> Iterator[bytes]:
    """A signed index of two packages."""
    from tests.feeds.apk_repositories import block, index, signature

    packed = index([block("a", "1-r0", D="b>=1 !c"), block("b", "1_rc1-r0", p="so:x=1")])
    yield signature(packed) + packed


def seeds_of_apk_files() -> Iterator[bytes]:
    """A package file with a signature, scripts, and a path of each kind."""
    from tests.change.apk_guests import web
    from tests.feeds.apk_packages import build

    yield build(web("2.0-r0"))[0]


def seeds_of_rpm_files() -> Iterator[bytes]:
    """A package file with one signature over its header; rpm need not be here to make it."""
    import struct

    def header(*entries: tuple[int, int, bytes]) -> bytes:
        index, store = b"", b""
        for tag, kind, value in entries:
            count = len(value) if kind == 7 else 1
            index += struct.pack(">IIiI", tag, kind, len(store), count)
            store += value
        sizes = struct.pack(">II", len(entries), len(store))
        return b"\x8e\xad\xe8\x01\0\0\0\0" + sizes + index + store

    signature = header((268, 7, b"\x89\x01"))
    texts = ((1000, 6, b"a\0"), (1001, 6, b"1\0"), (1002, 6, b"2\0"))
    main = header(*texts, (5092, 8, b"0" * 64 + b"\0"))
    padded = signature + bytes(-len(signature) % 8)
    yield b"\xed\xab\xee\xdb" + bytes(92) + padded + main + b"payload"


def seeds_of_debs() -> Iterator[bytes]:
    """Packages with a changelog, packed in several ways."""
    import gzip

    from tests.feeds.repositories import Deb

    log = b"a (1.1-1) stable; urgency=high\n\n  * Fix CVE-2026-1234.\n\n -- A <a@b>  Mon, 1\n"
    path = "/usr/share/doc/a/changelog.Debian.gz"
    for form in (".xz", ".gz", ".zst", ""):
        yield Deb("a", "1.1-1", files={path: gzip.compress(log)}, data=form).written()


RELEASE = """Origin: Debian
Suite: stable
Codename: x
Date: Sat, 10 Feb 2026 10:00:00 UTC
Valid-Until: Sat, 17 Feb 2026 10:00:00 UTC
Acquire-By-Hash: yes
NotAutomatic: yes
SHA256:
 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef 12 main/binary-amd64/Packages
"""
CHANGELOG = "a (1.1-1) stable; urgency=high\n\n  * CVE-2026-1.\n\n -- A <a@b>  Mon, 1 Jan 2026\n\n"
REPOMD = f"""<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision>
<data type="primary"><checksum type="sha256">{"0" * 64}</checksum><size>9</size>
<location href="repodata/a.xml.gz"/><timestamp>1.5</timestamp></data></repomd>"""
PRIMARY = f"""<metadata packages="1"><package type="rpm"><name>a</name><arch>noarch</arch>
<version epoch="1" ver="2" rel="3"/><checksum type="sha256" pkgid="YES">{"0" * 64}</checksum>
<size package="1" installed="2"/><location href="a.rpm"/><format><rpm:sourcerpm>a-2-3.src.rpm
</rpm:sourcerpm><rpm:provides><rpm:entry name="a"/></rpm:provides></format></package></metadata>"""
FILELISTS = """<filelists packages="1"><package pkgid="0" name="a" arch="noarch">
<version epoch="1" ver="2" rel="3"/><file type="dir">/usr/share/a</file><file>/usr/share/a/b</file>
</package></filelists>"""
UPDATEINFO = """<updates><update type="security"><id>A</id><severity>Low</severity><references>
<reference id="CVE-2026-1234"/></references><pkglist><collection><package name="a" version="1"
release="2" epoch="0" arch="noarch"><reboot_suggested>1</reboot_suggested></package></collection>
</pkglist></update></updates>"""
MODULES = """---
document: modulemd
version: 2
data:
  name: a
  stream: 1.10
  version: 3
  context: c
  dependencies: [{requires: {platform: [el8], b: []}}]
  artifacts: {rpms: [a-0:1-1.noarch]}
---
document: modulemd-defaults
data: {module: a, stream: "1.10"}
"""

TARGETS: dict[str, Target] = {
    "repomd": Target(run_repomd, texts(REPOMD)),
    "primary": Target(run_primary, texts(PRIMARY)),
    "filelists": Target(run_filelists, texts(FILELISTS)),
    "updateinfo": Target(run_updateinfo, texts(UPDATEINFO)),
    "modules": Target(run_modules, texts(MODULES)),
    "rpm-file": Target(run_rpm_file, seeds_of_rpm_files),
    "apk-file": Target(run_apk_file, seeds_of_apk_files),
    "apk-index": Target(run_apk_index, seeds_of_apk_indexes),
    "release": Target(run_release, texts(RELEASE)),
    "packages": Target(run_packages, texts(STATUS + f"Filename: x\nSize: 1\nSHA256: {'0' * 64}\n")),
    "deb": Target(run_deb, seeds_of_debs),
    "advisories": Target(run_advisories, seeds_of_advisories),
    "changelog": Target(run_changelog, texts(CHANGELOG)),
}
