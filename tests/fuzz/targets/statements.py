"""What reads signed statements, proofs, logins and versions."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.fuzz.targets.target import Target, texts

if TYPE_CHECKING:
    from tests.ovf.authorities import Holder


@functools.cache
def signer() -> Holder:
    """Somebody who signs; made once, because making a key takes a while."""
    from tests.ovf.authorities import holder

    return holder("Signer")


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
        check_signed(read_signed(content, "it"), signer().pem, "it")


def run_initramfs(content: bytes) -> None:
    """List an initial RAM disk."""
    from regild.prove.initramfs import read_names

    read_names(content, "the initrd")


def run_logins(content: bytes) -> None:
    """Read names and passwords; they stand in no text that is shown."""
    from regild.host.login import read_login_text

    text = content.decode(errors="surrogateescape")
    for login in read_login_text(text, "the file"):
        assert login.header
        assert not login.password or repr(login.password) not in repr(login)


def run_versions(content: bytes) -> None:
    """Versions have one order, whatever is compared first."""
    from regild.model.versions import apk_key, debian_key, rpm_key

    words = content.decode(errors="replace").split("\n")[:3]
    for key in (debian_key, rpm_key, apk_key):
        with contextlib.suppress(ValueError):
            keys = [key(word) for word in words]
            for one, two in itertools.product(keys, repeat=2):
                assert (one < two) + (two < one) + (one == two) == 1


def seeds_of_receipts() -> Iterator[bytes]:
    """A statement about a disk, bare and signed."""
    from regild.model.digest import sha256_of
    from regild.model.receipt import Receipt
    from regild.prove.receipt import sign_statement, write_statement

    digest = sha256_of(b"")
    receipt = Receipt(plan=digest, base=digest, result=digest, carrier="record")
    statement = write_statement(receipt, [("disk.vmdk", (digest,))])
    yield statement
    yield sign_statement(statement, signer().key)


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

    yield sign_bytes(b"{}", "application/vnd.in-toto+json", signer().key)


def seeds_of_initramfs() -> Iterator[bytes]:
    """Plain, packed, and one behind the other."""
    import gzip

    from tests.prove.test_boot_chain import initrd

    packed = initrd("init", "lib/modules/6.1/ext4.ko")
    yield packed
    yield gzip.decompress(packed) + bytes(64) + packed


TARGETS: dict[str, Target] = {
    "receipt": Target(run_receipt, seeds_of_receipts),
    "proof": Target(run_proof, seeds_of_proofs),
    "signed": Target(run_signed, seeds_of_signed),
    "logins": Target(
        run_logins,
        texts("machine http://a:80/b login n password p\n# x\ndefault login x\nmachine c\n"),
    ),
    "initramfs": Target(run_initramfs, seeds_of_initramfs),
    "versions": Target(run_versions, texts("1:2.3-4\n2.3~rc1-4+b1\n2.3", "1_p1-r1\n1_alpha\n1")),
}
