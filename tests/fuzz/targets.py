"""Every parser of ours that reads bytes of strangers: how it is run, and what it starts from.

A target ends well when it returns, or raises an error of ours; anything else is a finding. Where a
parser has a writer, what was read must survive being written.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from regild.errors import RegildError, UnsafeName
from regild.image.disk import Disk
from regild.image.window import Window

if TYPE_CHECKING:
    from regild.image.tree import Tree
    from tests.ovf.authorities import Holder

READ_MAX = 1 << 20


class Target(NamedTuple):
    """A parser, and inputs that it understands."""

    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]


def run_target(target: Target, content: bytes) -> bool:
    """Whether the input was read; an error of ours says no in a sentence.

    Raises: whatever else went wrong, which is a finding.
    """
    try:
        target.run(content)
    except RegildError as error:
        assert str(error)
        return False
    return True


# What is run


def run_envelope(content: bytes) -> None:
    """Read, edit in place, and give back what was there."""
    from regild.ovf.content import insert_descriptor, strip_descriptor
    from regild.ovf.envelope import read_envelope
    from regild.ovf.rewrite import DiskPatch, add_file, patch_sizes, remove_file
    from tests.ovf.samples import rich_descriptor

    found = read_envelope(content)
    patch_sizes(content, {one.id: 5 for one in found.files}, {"vmdisk1": DiskPatch(1, 2, "x")})
    with contextlib.suppress(RegildError):
        assert remove_file(add_file(content, "new", "new.json", 5), "new") == content
    ids = [one.id for one in found.systems]
    plain = strip_descriptor(content)
    for system in found.systems[:2]:
        if ids.count(system.id) == 1 and plain == content:
            described = insert_descriptor(content, rich_descriptor(), system.id)
            assert strip_descriptor(described) == content


def run_descriptor(content: bytes) -> None:
    """Read a descriptor; what was read is written and read again."""
    from regild.ovf.content import insert_descriptor, read_descriptor, strip_descriptor

    found = read_descriptor(content)
    if found is not None:
        again = insert_descriptor(strip_descriptor(content), found)
        assert read_descriptor(again) == found


def run_advisories(content: bytes) -> None:
    """Read a feed of advisories, whatever format it has."""
    from regild.feeds.advisories.kinds import read_file

    for told in read_file(_file_of(content), "the feed"):
        assert told.kind


def run_logins(content: bytes) -> None:
    """Read names and passwords; they stand in no text that is shown."""
    from regild.host.login import read_login_text

    text = content.decode(errors="surrogateescape")
    for login in read_login_text(text, "the file"):
        assert login.header
        assert not login.password or repr(login.password) not in repr(login)


def run_recipe(content: bytes) -> None:
    """Read a recipe; what is wrong has a reason, and nothing else is refused."""
    from regild.model.recipe_file import check_recipe, named_texts, read_recipe

    texts = dict.fromkeys(named_texts(content), "{}")
    if check_recipe(content):
        return
    assert read_recipe(content, "it", "image", "/srv", texts).name


def seeds_of_recipes() -> Iterator[bytes]:
    from tests.model.test_recipe_file import GOOD, PIP

    yield GOOD.encode()
    yield PIP.encode()


def run_wheel_index(content: bytes) -> None:
    """Read an index of wheels, in either form."""
    from regild.feeds.wheels import read_index

    for one in read_index(content, "https://mirror.example/simple/acme/", "acme"):
        assert one.file.uri.startswith(("http://", "https://"))


def seeds_of_wheel_indexes() -> Iterator[bytes]:
    import json

    from tests.feeds.test_wheels import HTML, JSON

    yield HTML.encode()
    yield json.dumps(JSON).encode()


def run_wheel(content: bytes) -> None:
    """Read what a wheel says that it needs."""
    from regild.feeds.wheels import read_metadata, read_needs
    from regild.model.digest import sha256_of
    from regild.model.plan import Archive
    from regild.model.recipe import Wheel

    file = Archive("file:///a", "a-1-py3-none-any.whl", sha256_of(content), len(content))
    found = read_metadata(io.BytesIO(content), Wheel("a", "1", file, ("py3-none-any",)))
    read_needs(found, "it")


def seeds_of_wheels() -> Iterator[bytes]:
    from tests.feeds.wheels import build_wheel

    with tempfile.TemporaryDirectory() as folder:
        yield build_wheel(Path(folder), "acme", "1.0", "six>=1", python=">=3.8").read_bytes()


def run_npm_wanted(content: bytes) -> None:
    """Read the lock of a recipe."""
    from regild.model.npm_lock import read_lock

    for one in read_lock(content.decode(errors="replace"), "it", "amd64"):
        assert one.name
        assert ".." not in one.name.split("/")


def run_releases(content: bytes) -> None:
    """Read a list of releases."""
    from regild.feeds.recipes import read_list

    read_list(content, "the list")


def run_manifest(content: bytes) -> None:
    """Read a manifest; ours says the same."""
    from regild.ovf.manifest import read_manifest, write_manifest

    entries = read_manifest(content)
    with contextlib.suppress(UnsafeName):
        assert read_manifest(write_manifest(entries)) == entries


def run_tar(content: bytes) -> None:
    """Walk an archive, and open it as an OVA."""
    from regild.ovf.archive import open_appliance
    from regild.ovf.tar import read_places

    for place in read_places(io.BytesIO(content), "the archive"):
        assert 0 <= place.offset <= place.offset + place.bytes <= len(content)
    path = _file_of(content)
    for complete in (False, True):
        with open_appliance(path, complete=complete):
            pass


def run_lint(content: bytes) -> None:
    """Lint a bare .ovf."""
    from regild.ovf.lint.check import check_package
    from regild.ovf.lint.survey import survey_package

    check_package(survey_package(_file_of(content, ".ovf")))


def run_certificate(content: bytes) -> None:
    """Read a certificate file."""
    from regild.ovf.certificate import read_certificate

    read_certificate(content)


def run_receipt(content: bytes) -> None:
    """Read a receipt, signed or not."""
    from regild.prove.receipt import read_receipt

    read_receipt(content, "it")


def run_proof(content: bytes) -> None:
    """Ask a guest all of whose files hold the same bytes every question of the static proof."""
    from regild.image.tree import Guest, Mount
    from regild.image.volumes import Volume
    from regild.model.content import BootEntry, Content, Platform
    from regild.prove.scene import Scene
    from regild.prove.static import prove_static
    from tests.describe.guests import MemoryTree

    half = len(content) // 2
    names = ("status", "diversions", "statoverride", "info/a.list", "info/a.md5sums")
    paths = [f"/var/lib/dpkg/{name}" for name in names]
    paths += ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/ld.so.cache", "/boot/k", "/boot/i"]
    paths += ["/etc/dpkg/dpkg.cfg", "/lib/modules/6.1/modules.dep"]
    volume = Volume(1, "p1", 0, 1 << 30, "filesystem", "ext4", "a-b", "", "")
    mounts = (Mount("/", volume, "ext4"),)
    now, was = (
        Guest(MemoryTree(dict.fromkeys(paths, piece)), (volume,), mounts, (), ())
        for piece in (content, content[half:])
    )
    boot = (BootEntry("k", "/boot/k", "6.1", "/boot/grub/grub.cfg", "/boot/i", "UUID=a-b"),)
    seen = Content(platform=Platform())
    for before in (None, was):
        prove_static(Scene(now, seen, boot=boot, before=before, boot_before=boot, shipped=()))


def run_signed(content: bytes) -> None:
    """Read signed bytes, and hold them against a key."""
    from regild.errors import SignatureRefused
    from regild.model.dsse import check_signed, read_signed

    with contextlib.suppress(SignatureRefused):
        check_signed(read_signed(content, "it"), _signer().pem, "it")


@functools.cache
def _signer() -> Holder:
    from tests.ovf.authorities import holder

    return holder("Signer")


def run_disk(content: bytes) -> None:
    """Open whatever disk it is and read here and there."""
    from regild.image.disk import disk_of

    handle = os.memfd_create("disk")
    try:
        os.write(handle, content)
        _look_over(disk_of(Window(handle, "the disk", 0, len(content))))
    finally:
        os.close(handle)


def _look_over(disk: Disk) -> None:
    end = 0
    for offset, length in itertools.islice(disk.extents(), 200):
        assert 0 <= end <= offset < offset + length <= disk.size
        end = offset + length
    step = max(1, disk.size // 16)
    for offset in {0, *range(0, disk.size, step), max(0, disk.size - 4096)}:
        length = min(70_000, disk.size - offset)
        assert len(disk.read(offset, length)) == length


def run_volumes(content: bytes) -> None:
    """Read partition tables and what the partitions hold; a sector each 512 bytes, thinly."""
    from regild.image.lvm import read_groups
    from regild.image.volumes import read_volumes

    disk = _sparse_disk(content)
    volumes = read_volumes(disk)
    assert len(volumes) < 100_000
    read_groups(disk, volumes)


def run_guest(content: bytes) -> None:
    """Find a guest in a filesystem, XFS most of all, and walk some of its tree."""
    walk_guest(_sparse_disk(content))


def run_filesystem(content: bytes) -> None:
    """Walk a filesystem that fills a disk, whether it holds a guest or not."""
    walk_filesystem(_sparse_disk(content))


def walk_filesystem(disk: Disk) -> None:
    """Open the filesystems of a disk, look whether they are clean, and walk some of each."""
    from regild.image.filesystems import open_filesystem
    from regild.image.paths import MountedTree
    from regild.image.unclean import whys_unclean
    from regild.image.volumes import read_volumes

    for volume in read_volumes(disk)[:4]:
        filesystem = open_filesystem(disk, volume)
        whys_unclean(disk, volume, filesystem)
        _walk(MountedTree(filesystem))


def walk_guest(disk: Disk) -> None:
    """Find the guest of a disk and walk some of its tree."""
    from regild.image.tree import open_guest

    with open_guest(disk) as guest:
        _walk(guest.tree)


def _walk(tree: Tree) -> None:
    waiting = ["/"]
    for _ in range(40):
        if not waiting:
            break
        folder = waiting.pop()
        for name in tree.names(folder)[:20]:
            path = f"{folder.rstrip('/')}/{name}"
            node = tree.find(path)
            assert node is not None
            if node.kind == "directory":
                waiting.append(path)
            elif node.kind == "file":
                with contextlib.suppress(RegildError):
                    assert len(tree.read(path, READ_MAX)) == node.bytes


def run_luks(content: bytes) -> None:
    """Read a header of LUKS."""
    from regild.image.luks_header import read_header

    disk = _sparse_disk(content)
    read_header(disk, 0, disk.size, "the volume")


def run_lvm_text(content: bytes) -> None:
    """Read LVM's own text."""
    from regild.image.lvm_text import read_text

    read_text(content.decode(errors="replace"), "the metadata")


def run_fstab(content: bytes) -> None:
    """Read a guest's fstab."""
    from regild.image.fstab import read_fstab

    list(read_fstab(content.decode(errors="replace")))


def run_file(path: str, content: bytes) -> None:
    """Describe a guest that has these bytes in a place."""
    from regild.describe.reader import describe_guest
    from regild.model.digest import canonical
    from tests.describe.guests import debian

    found = describe_guest(debian({path: content}))
    assert found.packages or found.unknowns
    assert canonical(found)


def run_hive(content: bytes) -> None:
    """Read some keys of a registry hive, as the process that is kept for it does."""
    from regild.describe import hive_apart

    wanted = [{"path": "Microsoft\\Windows NT\\CurrentVersion"}, {"path": "a", "subkeys": ""}]
    with contextlib.suppress(Exception):  # there every error is an answer; memory and time are not
        answer = hive_apart._read(str(_file_of(content)), wanted)
        assert set(answer) == {"keys", "damage", "clean"}


def run_property_list(content: bytes) -> None:
    """Read a property list."""
    from regild.describe.macos import parse

    assert isinstance(parse(content, "the list"), dict)


def run_jar(content: bytes) -> None:
    """Read what a Java archive says of itself."""
    from regild.describe.jars import read_jar

    for package in itertools.islice(read_jar(io.BytesIO(content), len(content), "/a.jar"), 500):
        assert package.purl.startswith("pkg:maven/")


def run_go(content: bytes) -> None:
    """Read the modules of a Go program."""
    from regild.describe.go_programs import read_go

    for package in read_go(lambda offset, count: content[offset : offset + count], "/a"):
        assert package.name and package.version


def run_unpack(content: bytes) -> None:
    """Unpack a block; nothing comes out beyond its limit."""
    from fs_explorer.errors import CorruptDataError

    from regild.image.unpack import from_xz, from_zstd

    for unpack in (from_xz, from_zstd):
        with contextlib.suppress(CorruptDataError):
            assert len(unpack(content, 10_000)) <= 10_000


def run_copyright(content: bytes) -> None:
    """Read a copyright file, and find the names of SPDX for what it states."""
    from regild.describe.licences import STATED_LIMIT, key_of, read_licences
    from regild.describe.spdx_names import to_spdx
    from regild.model.content import Package
    from tests.describe.guests import debian

    package = Package("deb", "a", "1", "amd64")
    guest = debian({"/usr/share/doc/a/copyright": content})
    stated = read_licences(guest, [package]).get(key_of(package), ())
    assert len(stated) <= STATED_LIMIT
    for one in stated:
        assert one.isprintable()
        to_spdx(one)


def run_bundle(content: bytes) -> None:
    """Read a message bundle."""
    from regild.ovf.messages import read_bundle

    read_bundle(content, "the bundle")


def run_boot(content: bytes) -> None:
    """Read a boot menu."""
    from regild.describe.boot import read_boot
    from tests.describe.guests import MemoryTree

    read_boot(MemoryTree({"/boot/grub/grub.cfg": content, "/boot/loader/entries/a.conf": content}))


def run_rpm(reader: str, content: bytes) -> None:
    """Read rpm's headers out of one of its databases, or one header and what planning needs."""
    from regild.describe import rpm_bdb, rpm_ndb
    from regild.describe.rpm_relations import read_facts, write_status
    from regild.model.rpm_header import Tags, read_header

    if reader == "header":
        tags = Tags(content, "the header")
        write_status([read_facts(tags.identity, tags, "the header")])
        return
    read = rpm_bdb.read_headers if reader == "bdb" else rpm_ndb.read_headers
    for _, blob in itertools.islice(read(content, "the database"), 1000):
        with contextlib.suppress(RegildError):
            read_header(blob, "the header")


def run_repositories(content: bytes) -> None:
    """Read a file of repositories, which is also dnf's settings, locks and modules."""
    from regild.describe.evidence import Evidence
    from regild.describe.findings import Findings
    from regild.describe.rpm_settings import read_rpm_settings
    from regild.describe.rpm_sources import read_rpm_sources
    from regild.model.content import Planning
    from regild.model.digest import canonical
    from tests.describe.guests import MemoryTree, guest

    places = ("yum.repos.d/a.repo", "dnf/dnf.conf", "dnf/modules.d/a.module", "zypp/locks")
    evidence = Evidence(guest(MemoryTree({f"/etc/{place}": content for place in places})))
    known = Findings(planning=Planning(type="rpm"))
    known = known.merged(read_rpm_settings(evidence, known))
    assert canonical((known.planning, read_rpm_sources(evidence, known).sources))


def run_repomd(content: bytes) -> None:
    """Read what an rpm repository says of itself."""
    from regild.feeds.repomd import is_inside, read_repomd

    assert all(is_inside(part.href) for part in read_repomd(content, "x").parts.values())


def run_primary(content: bytes) -> None:
    """Make the table of an index of rpm, and read its first offers."""
    from regild.feeds.primary import PrimaryIndex, make_table

    path = _file_of(content)
    index = PrimaryIndex(path, make_table(path, "the index"), "the index")
    for name in itertools.islice(index.names, 20):
        with contextlib.suppress(RegildError):
            assert all(offer.version for offer in index.offers(name))


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
        check_package(_file_of(content, ".rpm"), Trust(()), NOW, "the package")
        raise AssertionError("nobody is trusted, and it was believed")


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


def run_apk_settings(path: str, content: bytes) -> None:
    """Describe a guest of apk that has these bytes in a place."""
    from regild.describe.reader import describe_guest
    from regild.model.digest import canonical
    from tests.describe.guests import MemoryTree, guest
    from tests.describe.test_apk_planning import FILES

    tree = MemoryTree({**FILES, path: content})
    assert canonical(describe_guest(guest(tree)))


def run_bom(content: bytes) -> None:
    """Read a bill of materials of somebody else, and write ours of it."""
    from regild.describe.bom_reader import read_bom

    read_bom(content, "the bill")


def run_release(content: bytes) -> None:
    """Read a release file."""
    from regild.feeds.release import read_release

    read_release(content, "the release")


def run_packages(content: bytes) -> None:
    """Make the table of an index, and read its first offers."""
    from regild.feeds.packages import make_table, read_offer

    make_table(_file_of(content), "the index")
    for stanza in content.split(b"\n\n")[:20]:
        with contextlib.suppress(RegildError):
            read_offer(stanza, "the index")


def run_deb(content: bytes) -> None:
    """Read a package file's control and its changelog."""
    from regild.feeds.changelog import find_changelog
    from regild.feeds.deb import read_control
    from regild.feeds.shipped import read_shipped

    path = _file_of(content, ".deb")
    read_control(path)
    read_shipped(path, "a", "all")
    find_changelog(path)


def run_changelog(content: bytes) -> None:
    """Read the CVEs of a changelog."""
    from regild.feeds.changelog import read_cves

    read_cves(content.decode(errors="replace"), "1.0-1")


def run_initramfs(content: bytes) -> None:
    """List an initial RAM disk."""
    from regild.prove.initramfs import read_names

    read_names(content, "the initrd")


def run_versions(content: bytes) -> None:
    """Versions have one order, whatever is compared first."""
    from regild.model.versions import apk_key, debian_key, rpm_key

    words = content.decode(errors="replace").split("\n")[:3]
    for key in (debian_key, rpm_key, apk_key):
        with contextlib.suppress(ValueError):
            keys = [key(word) for word in words]
            for one, two in itertools.product(keys, repeat=2):
                assert (one < two) + (two < one) + (one == two) == 1


def _file_of(content: bytes, suffix: str = "") -> Path:
    path = _folder() / f"input{suffix}"
    path.write_bytes(content)
    return path


@functools.cache
def _folder() -> Path:
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="regild-fuzz-", dir=place))


# A large disk in a few bytes: (number of a 4 KiB block, the block), as often as there is one

BLOCK = 4096
RECORD = 4 + BLOCK


def _sparse_disk(content: bytes) -> Disk:
    from tests.fuzz.thin_disk import ThinDisk

    return ThinDisk(content)


def thin(path: Path, keep: Callable[[Disk], object]) -> bytes:
    """The blocks of a disk that reading it needs, as an input of `ThinDisk`."""
    from regild.image.disk import open_disk
    from tests.fuzz.thin_disk import Watched

    with open_disk(path) as disk:
        watched = Watched(disk)
        keep(watched)
        return watched.content()


# What they start from


def seeds_of_envelopes() -> Iterator[bytes]:
    """Envelopes of every generation, and of the corpus where it is there."""
    from tests.ovf.samples import envelope, system
    from tests.ovf.test_envelope import DRAFT

    yield from (envelope(), envelope(systems=system("a") + system("b")), DRAFT)
    yield from itertools.islice(_shared("ovf", "*.ovf", 20_000), 0, 400, 12)


def seeds_of_descriptors() -> Iterator[bytes]:
    """The conformance kit's descriptors, and one with everything in it."""
    from regild.ovf.content import insert_descriptor
    from tests.ovf.samples import envelope, rich_descriptor

    yield insert_descriptor(envelope(), rich_descriptor())
    kit = Path(__file__).parents[2] / "docs/spec/conformance"
    for path in sorted(kit.rglob("*.ovf")):
        yield path.read_bytes()


def seeds_of_advisories() -> Iterator[bytes]:
    from tests.feeds.advisories import samples

    yield from (samples.UPDATEINFO, samples.CVRF, samples.text(samples.CVRF_JSON))
    made = (samples.osv, samples.tracker, samples.csaf, samples.secdb, samples.kev)
    yield from (samples.text(one()) for one in made)


def seeds_of_manifests() -> Iterator[bytes]:
    """Manifests as several tools write them."""
    digest = "0" * 64
    for form in ("SHA256(a.ovf)= {}\n", "SHA256 (a.ovf) = {}\r\n", "sha256(a.ovf)={}"):
        yield form.format(digest).encode()
    yield b"SHA1(disk 1.vmdk)= " + b"a" * 40 + b"\n" + b"SHA512(b)= " + b"b" * 128 + b"\n"


def seeds_of_archives() -> Iterator[bytes]:
    """Small OVAs of every style of tar."""
    import tarfile

    from tests.ovf.lint.packages import clean, pack

    path = _folder() / "seed.ova"
    for style in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        long = {} if style == tarfile.USTAR_FORMAT else {"n" * 120: b"x"}
        files = {**clean(), **long}
        yield pack(path, files, style).read_bytes()


def seeds_of_certificates() -> Iterator[bytes]:
    """A signed manifest, as we and as others write it."""
    from regild.ovf.certificate import sign_manifest
    from tests.ovf.authorities import NOW, holder

    one = holder("a signer")
    yield sign_manifest(b"SHA256(a)= 0\n", "a.mf", one.key, one.pem, NOW)
    yield from _shared("ovf", "*.cert", 20_000)


def seeds_of_disks(*forms: tuple[str, str]) -> Iterator[bytes]:
    """A tiny disk in some of qemu-img's forms."""
    from tests.image.disks import noise, tool

    raw = _folder() / "seed.raw"
    raw.write_bytes(noise(3000) + bytes(200_000) + noise(70_000, 2) + bytes(60_000))
    for number, (form, option) in enumerate(forms):
        made = _folder() / f"seed{number}.{form}"
        packed = ["-c"] if "compression" in option or form == "qcow2" else []
        wish = ["-o", option] if option else []
        tool("qemu-img", "convert", "-f", "raw", *packed, "-O", form, *wish, raw, made)
        yield made.read_bytes()


def seeds_of_vmdks() -> Iterator[bytes]:
    """Stream, sparse, and the text of a split one."""
    yield from seeds_of_disks(
        ("vmdk", "subformat=streamOptimized"), ("vmdk", "subformat=monolithicSparse")
    )
    yield (
        b"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
        b'createType="twoGbMaxExtentFlat"\nRW 4 FLAT "x-f001.vmdk" 0\nRW 9 ZERO\n'
    )


def seeds_of_volumes() -> Iterator[bytes]:
    """Partition tables of all kinds, thin."""
    from regild.image.volumes import read_volumes
    from tests.image.disks import blank, tool

    tables = {
        "gpt": "label: gpt\n,1M,L\n,1M,S\n,,L\n",
        "dos": "label: dos\n,1M,L\n,4M,E\n,1M,L\n,1M,L\n",
    }
    for text in tables.values():
        path = blank(_folder() / "seed.table", 16 << 20)
        tool("sfdisk", "-q", path, text=text)
        yield thin(path, read_volumes)


def seeds_of_guests() -> Iterator[bytes]:
    """A small guest on ext4, and on XFS where the machine can fill one."""
    from tests.cli import golden

    with tempfile.TemporaryDirectory() as folder:
        yield thin(golden.filesystem(Path(folder), size=2 << 20), walk_guest)
    with contextlib.suppress(BaseException), tempfile.TemporaryDirectory() as folder:
        from tests.image.mounted import mounted, xfs

        image = xfs(Path(folder) / "xfs")
        with mounted(image, Path(folder) / "m") as place:
            for name, text in golden.GUEST.items():
                (place / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                (place / name.lstrip("/")).write_text(text)
            (place / "etc/link").symlink_to("os-release")
        yield thin(image, walk_guest)


def seeds_of_hives() -> Iterator[bytes]:
    """An empty hive, and a small one of a server."""
    from tests.describe.hives import SERVER_2022, empty, hive

    yield empty(_folder() / "seed.hive").read_bytes()
    yield hive(_folder() / "seed.hive", SERVER_2022)


def seeds_of_property_lists() -> Iterator[bytes]:
    """The same list in both forms."""
    import plistlib

    from tests.describe.test_macos import SYSTEM

    for form in (plistlib.FMT_XML, plistlib.FMT_BINARY):
        yield plistlib.dumps({**SYSTEM, "a": [1, 2.5, True, b"x"]}, fmt=form)


def seeds_of_jars() -> Iterator[bytes]:
    """With Maven's words, with a manifest, and with an archive inside."""
    from tests.describe.test_jars import LOG4J, POM, jar

    yield jar({POM: LOG4J})
    yield jar({"META-INF/MANIFEST.MF": "Implementation-Version: 1\n", "lib/a-1.jar": jar({})})


def seeds_of_go() -> Iterator[bytes]:
    """A program with its modules behind the block."""
    from tests.describe.test_go_programs import program

    yield program()


def seeds_of_blocks() -> Iterator[bytes]:
    """One block in each way of packing."""
    import lzma

    from backports import zstd

    content = bytes(range(256)) * 20
    yield lzma.compress(content)
    yield lzma.compress(content, lzma.FORMAT_ALONE)
    yield zstd.compress(content)


def seeds_of_trees(kind: str) -> Iterator[bytes]:
    """A small guest on a filesystem that a tool makes out of a folder, thin."""
    from tests.cli import golden
    from tests.image.disks import blank, tool

    with tempfile.TemporaryDirectory() as name:
        folder, image = Path(name) / "tree", Path(name) / "disk"
        for path, text in golden.GUEST.items():
            place = folder / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        if kind == "squashfs":
            tool("mksquashfs", folder, image, "-quiet", "-no-progress", "-b", "4096")
        elif kind == "iso9660":
            tool("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-o", image, folder)
        else:
            tool("mkntfs", "-q", "-F", blank(image, 4 << 20))
            # ntfscp makes no folders, and a file in the root is enough to be walked.
            tool("ntfscp", image, folder / "etc/os-release", "os-release")
        yield thin(image, walk_filesystem)


def seeds_of_luks() -> Iterator[bytes]:
    """Headers that cryptsetup made."""
    from tests.image.disks import blank, tool

    key = _folder() / "key"
    key.write_text("secret")
    for kind in ("luks1", "luks2"):
        path = blank(_folder() / "seed.luks", 20 << 20)
        line = [
            "cryptsetup",
            "-q",
            "luksFormat",
            "--type",
            kind,
            "--pbkdf-force-iterations",
            "1000",
        ]
        tool(*line, "--pbkdf", "pbkdf2", path, key)
        content = path.read_bytes()
        yield b"".join(
            number.to_bytes(4, "little") + content[number * BLOCK : (number + 1) * BLOCK]
            for number in (*range(8), len(content) // BLOCK - 1)
        )


def seeds_of_rpm(reader: str) -> Iterator[bytes]:
    """Headers of real databases, and the beginnings of the databases."""
    from regild.describe import rpm_bdb, rpm_ndb

    folder = {"bdb": "libuuid", "ndb": "sle15-bci"}
    if reader != "header":
        for content in _shared(f"rpmdb/{folder[reader]}", "Packages*", 1 << 24):
            yield content[:100_000]
        return
    for content in _shared("rpmdb/sle15-bci", "Packages.db", 1 << 26):
        blobs = sorted((blob for _, blob in rpm_ndb.read_headers(content, "x")), key=len)
        yield from blobs[:5]
    for content in _shared("rpmdb/libuuid", "Packages", 1 << 26):
        yield from sorted((blob for _, blob in rpm_bdb.read_headers(content, "x")), key=len)[:2]
    yield bytes.fromhex("00000001 00000008 000003e8 00000006 00000000 00000001") + b"name\0\0\0\0"


def seeds_of_apk_indexes() -> Iterator[bytes]:
    """A signed index of two packages."""
    from tests.feeds.apk_repositories import block, index, signature

    packed = index([block("a", "1-r0", D="b>=1 !c"), block("b", "1_rc1-r0", p="so:x=1")])
    yield signature(packed) + packed


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


def seeds_of_boms() -> Iterator[bytes]:
    """Bills as we write them."""
    from regild.describe.bom import write_cyclonedx
    from regild.describe.spdx import write_spdx
    from tests.ovf.samples import rich_content

    for write in (write_cyclonedx, write_spdx):
        with contextlib.suppress(TypeError):
            yield write(rich_content(), "vm", "2026-01-01T00:00:00Z", "regild")
    yield b'{"bomFormat":"CycloneDX","components":[{"type":"library","name":"a","version":"1",'
    yield (
        b'{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library",'
        b'"name":"a","version":"1","purl":"pkg:deb/debian/a@1?arch=amd64&distro=debian-12"}]}'
    )
    yield (
        b'{"spdxVersion":"SPDX-2.3","packages":[{"name":"a","versionInfo":"1","externalRefs":['
        b'{"referenceType":"purl","referenceLocator":"pkg:deb/debian/a@1?arch=amd64"}]}]}'
    )


def seeds_of_debs() -> Iterator[bytes]:
    """Packages with a changelog, packed in several ways."""
    import gzip

    from tests.feeds.repositories import Deb

    log = b"a (1.1-1) stable; urgency=high\n\n  * Fix CVE-2026-1234.\n\n -- A <a@b>  Mon, 1\n"
    path = "/usr/share/doc/a/changelog.Debian.gz"
    for form in (".xz", ".gz", ".zst", ""):
        yield Deb("a", "1.1-1", files={path: gzip.compress(log)}, data=form).written()


def seeds_of_receipts() -> Iterator[bytes]:
    """A statement about a disk, bare and signed."""
    from regild.model.digest import sha256_of
    from regild.model.receipt import Receipt
    from regild.prove.receipt import sign_statement, write_statement

    digest = sha256_of(b"")
    receipt = Receipt(plan=digest, base=digest, result=digest, carrier="record")
    statement = write_statement(receipt, [("disk.vmdk", (digest,))])
    yield statement
    yield sign_statement(statement, _signer().key)


def seeds_of_proofs() -> Iterator[bytes]:
    """A database, accounts, a list of modules, a cache of the linker, filters."""
    yield (
        b"Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
        b"Conffiles:\n /etc/a 0123456789abcdef0123456789abcdef\n\n"
    )
    yield b"root:x:0:0:root:/root:/bin/sh\nmail:*:8:8::/:/bin/false\nroot:*:1:0:9:7:::\n"
    yield b"kernel/a.ko: kernel/b.ko\nglibc-ld.so.cache1.1\0\0/lib/liba.so.1\0"
    yield b"path-exclude=/usr/share/doc/*\n/a\n/b\nc\n/etc/a\n"


def seeds_of_signed() -> Iterator[bytes]:
    """What we sign ourselves."""
    from regild.model.dsse import sign_bytes

    yield sign_bytes(b"{}", "application/vnd.in-toto+json", _signer().key)


def seeds_of_initramfs() -> Iterator[bytes]:
    """Plain, packed, and one behind the other."""
    import gzip

    from tests.prove.test_boot_chain import initrd

    packed = initrd("init", "lib/modules/6.1/ext4.ko")
    yield packed
    yield gzip.decompress(packed) + bytes(64) + packed


def texts(*lines: str) -> Callable[[], Iterable[bytes]]:
    """Seeds that are plain text."""
    return lambda: [line.encode() for line in lines]


def _shared(folder: str, pattern: str, limit: int) -> Iterator[bytes]:
    """Files of the shared corpus that are not too long; none where it is absent."""
    place = Path(__file__).parents[2].parent / "shared/corpus" / folder
    for path in sorted(place.rglob(pattern)) if place.is_dir() else ():
        if path.stat().st_size <= limit:
            yield path.read_bytes()


STATUS = """Package: a
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: b (1.0)
Version: 1:1.0-1+b2
Depends: c (>= 1) | d, e:any
Provides: v (= 2)
Conffiles:
 /etc/a 0123
Description: x
 y
"""
SOURCES = """Types: deb
URIs: https://user:pass@mirror.example/debian
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 aaaa
 -----END PGP PUBLIC KEY BLOCK-----
"""
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
LVM = """vg { id = "a" seqno = 1 extent_size = 8192
physical_volumes { pv0 { id = "b" pe_start = 2048 pe_count = 10 } }
logical_volumes { root { id = "c" segment_count = 1 segment1 { start_extent = 0
extent_count = 2 type = "striped" stripe_count = 1 stripes = ["pv0", 0] } } } } # x
"""
CHANGELOG = "a (1.1-1) stable; urgency=high\n\n  * CVE-2026-1.\n\n -- A <a@b>  Mon, 1 Jan 2026\n\n"

REPOMD = f"""<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision>
<data type="primary"><checksum type="sha256">{"0" * 64}</checksum><size>9</size>
<location href="repodata/a.xml.gz"/><timestamp>1.5</timestamp></data></repomd>"""
PRIMARY = f"""<metadata packages="1"><package type="rpm"><name>a</name><arch>noarch</arch>
<version epoch="1" ver="2" rel="3"/><checksum type="sha256" pkgid="YES">{"0" * 64}</checksum>
<size package="1" installed="2"/><location href="a.rpm"/><format><rpm:sourcerpm>a-2-3.src.rpm
</rpm:sourcerpm><rpm:provides><rpm:entry name="a"/></rpm:provides></format></package></metadata>"""
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
REPOSITORIES = """[main]
exclude=a,b
[updates]
baseurl=https://a:b@mirror.example/$releasever/${basearch}/?x=y
  http://second.example
metalink=http://mirror.example/m?repo=a&arch=$arch
gpgkey=file:///etc/key
state=enabled
"""

TARGETS: dict[str, Target] = {
    "envelope": Target(run_envelope, seeds_of_envelopes),
    "descriptor": Target(run_descriptor, seeds_of_descriptors),
    "manifest": Target(run_manifest, seeds_of_manifests),
    "tar": Target(run_tar, seeds_of_archives),
    "lint": Target(run_lint, seeds_of_envelopes),
    "certificate": Target(run_certificate, seeds_of_certificates),
    "receipt": Target(run_receipt, seeds_of_receipts),
    "proof": Target(run_proof, seeds_of_proofs),
    "signed": Target(run_signed, seeds_of_signed),
    "vmdk": Target(run_disk, seeds_of_vmdks),
    "qcow2": Target(
        run_disk,
        lambda: seeds_of_disks(
            ("qcow2", "compression_type=zlib,cluster_size=4096"),
            ("qcow2", "compression_type=zstd,cluster_size=4096"),
            ("qcow2", "compat=0.10,cluster_size=4096"),
        ),
    ),
    "vhd": Target(run_disk, lambda: seeds_of_disks(("vpc", ""), ("vpc", "subformat=fixed"))),
    "vhdx": Target(run_disk, lambda: seeds_of_disks(("vhdx", "block_size=1M,log_size=1M"))),
    "vdi": Target(run_disk, lambda: seeds_of_disks(("vdi", ""))),
    "volumes": Target(run_volumes, seeds_of_volumes),
    "guest": Target(run_guest, seeds_of_guests),
    "ntfs": Target(run_filesystem, functools.partial(seeds_of_trees, "ntfs")),
    "iso9660": Target(run_filesystem, functools.partial(seeds_of_trees, "iso9660")),
    "squashfs": Target(run_filesystem, functools.partial(seeds_of_trees, "squashfs")),
    "block": Target(run_unpack, seeds_of_blocks),
    "luks": Target(run_luks, seeds_of_luks),
    "lvm": Target(run_lvm_text, texts(LVM)),
    "fstab": Target(run_fstab, texts("UUID=a / ext4 defaults 0 1\n#x\n/dev/sda /v\\040x auto\n")),
    "copyright": Target(
        run_copyright,
        texts(
            "Format: https://x/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ or Artistic, and"
            " Expat\n\nFiles: a\nLicense: GPL-2 with Linux-syscall-note exception\n text\n"
        ),
    ),
    "bundle": Target(
        run_bundle,
        texts('<Strings xmlns="urn:x" xml:lang="en"><Msg msgid="a">A name</Msg></Strings>'),
    ),
    "dpkg": Target(functools.partial(run_file, "/var/lib/dpkg/status"), texts(STATUS)),
    "dpkg-marks": Target(
        functools.partial(run_file, "/var/lib/apt/extended_states"),
        texts("Package: dpkg\nArchitecture: amd64\nAuto-Installed: 1\n\n"),
    ),
    "os-release": Target(
        functools.partial(run_file, "/etc/os-release"), texts("ID=\"x\"\nVERSION_ID='1'\n")
    ),
    "sources": Target(
        functools.partial(run_file, "/etc/apt/sources.list.d/a.sources"), texts(SOURCES)
    ),
    "sources-list": Target(
        functools.partial(run_file, "/etc/apt/sources.list"),
        texts("deb [arch=amd64 signed-by=/x] http://mirror.example/ stable main\n"),
    ),
    "apt-settings": Target(
        functools.partial(run_file, "/etc/apt/apt.conf.d/a"),
        texts('APT { Default-Release "x"; };\n#clear A;\n// b\n/* c */ A::B:: "d";\n'),
    ),
    "apt-pins": Target(
        functools.partial(run_file, "/etc/apt/preferences.d/a"),
        texts("Package: *\nPin: release a=stable\nPin-Priority: 100\n"),
    ),
    "keyring": Target(
        functools.partial(run_file, "/etc/apt/trusted.gpg.d/a.gpg"), texts("\x99\x01\x0d\x04")
    ),
    "apk": Target(
        functools.partial(run_file, "/lib/apk/db/installed"),
        texts("C:Q1a=\nP:a\nV:1.0-r0\nA:x86_64\nS:1\nI:2\no:a\nF:etc\nR:b\n\n"),
    ),
    "pacman": Target(
        functools.partial(run_file, "/var/lib/pacman/local/a-1/desc"),
        texts("%NAME%\na\n\n%VERSION%\n1:1-1\n\n%ARCH%\nx86_64\n\n%BASE%\nb\n"),
    ),
    "hive": Target(run_hive, seeds_of_hives),
    "property-list": Target(run_property_list, seeds_of_property_lists),
    "jar": Target(run_jar, seeds_of_jars),
    "go": Target(run_go, seeds_of_go),
    "npm": Target(
        functools.partial(run_file, "/usr/local/lib/node_modules/a/package.json"),
        texts('{"name": "@a/b", "version": "1.0.0-rc.1"}'),
    ),
    "npm-lock": Target(
        functools.partial(run_file, "/srv/a/node_modules/.package-lock.json"),
        texts('{"packages": {"node_modules/a": {"version": "1.0.0"}, "b": {"link": true}}}'),
    ),
    "boot": Target(
        run_boot, texts("menuentry 'a' {\nlinux /vmlinuz-6 root=UUID=1\ninitrd /i\n}\n", "linux /a")
    ),
    "rpm-header": Target(
        functools.partial(run_rpm, "header"), functools.partial(seeds_of_rpm, "header")
    ),
    "repositories": Target(run_repositories, texts(REPOSITORIES)),
    "repomd": Target(run_repomd, texts(REPOMD)),
    "primary": Target(run_primary, texts(PRIMARY)),
    "updateinfo": Target(run_updateinfo, texts(UPDATEINFO)),
    "modules": Target(run_modules, texts(MODULES)),
    "rpm-file": Target(run_rpm_file, seeds_of_rpm_files),
    "apk-index": Target(run_apk_index, seeds_of_apk_indexes),
    "apk-repositories": Target(
        functools.partial(run_apk_settings, "/etc/apk/repositories"),
        texts(
            "# a\n@edge http://a:b@mirror.example/x?y\n/media/x\nhttps://mirror.example/v3/main\n"
        ),
    ),
    "apk-key": Target(
        functools.partial(run_apk_settings, "/etc/apk/keys/a.rsa.pub"),
        texts("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"),
    ),
    "rpm-ndb": Target(functools.partial(run_rpm, "ndb"), functools.partial(seeds_of_rpm, "ndb")),
    "rpm-bdb": Target(functools.partial(run_rpm, "bdb"), functools.partial(seeds_of_rpm, "bdb")),
    "bom": Target(run_bom, seeds_of_boms),
    "release": Target(run_release, texts(RELEASE)),
    "packages": Target(run_packages, texts(STATUS + f"Filename: x\nSize: 1\nSHA256: {'0' * 64}\n")),
    "deb": Target(run_deb, seeds_of_debs),
    "advisories": Target(run_advisories, seeds_of_advisories),
    "logins": Target(
        run_logins,
        texts("machine http://a:80/b login n password p\n# x\ndefault login x\nmachine c\n"),
    ),
    "recipe": Target(run_recipe, seeds_of_recipes),
    "wheel-index": Target(run_wheel_index, seeds_of_wheel_indexes),
    "wheel": Target(run_wheel, seeds_of_wheels),
    "npm-wanted": Target(
        run_npm_wanted,
        texts(
            '{"lockfileVersion": 3, "packages": {"node_modules/a": {"version": "1.0.0", '
            f'"integrity": "sha512-{"A" * 86}==", "os": ["!win32"], "optional": true}}}}}}'
        ),
    ),
    "releases": Target(
        run_releases, texts('{"releases": [{"version": "2.0", "files": []}], "date": "2026"}')
    ),
    "changelog": Target(run_changelog, texts(CHANGELOG)),
    "initramfs": Target(run_initramfs, seeds_of_initramfs),
    "versions": Target(run_versions, texts("1:2.3-4\n2.3~rc1-4+b1\n2.3", "1_p1-r1\n1_alpha\n1")),
}
"""By name, the ones of the package first."""
