"""What reads the files of a guest."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from tests.fuzz.targets.target import Target, file_of, folder, texts


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
        answer = hive_apart._read(str(file_of(content)), wanted)
        assert set(answer) == {"keys", "damage", "clean"}


def run_windows_setup(content: bytes) -> None:
    """Find what a Windows starts with, and change it in place: as long as before, and read back."""
    from regild.change.hive import patched
    from regild.change.windows_hook import LINE, check_unhooked, make_hook
    from regild.errors import HookLeft

    made = make_hook(content)
    changed = patched(content, made.patches)
    assert len(changed) == len(content)
    check_unhooked(content, made.command)
    with contextlib.suppress(HookLeft):
        check_unhooked(changed, LINE)
        raise AssertionError("a hook that stands there was not noticed")


def run_windows_report(content: bytes) -> None:
    """Take in what a Windows reports, whole and in pieces."""
    from regild.change.windows_report import LINE_BYTES_MAX, Report

    whole, pieces = Report(2), Report(2)
    whole.take(content)
    for at in range(0, len(content), 7):
        pieces.take(content[at : at + 7])
    assert len(whole._rest) <= LINE_BYTES_MAX
    assert not whole.is_done or sorted(whole.codes) == [1, 2]
    assert (whole.codes, whole.is_done) == (pieces.codes, pieces.is_done)


def run_property_list(content: bytes) -> None:
    """Read a property list."""
    from regild.describe.macos import parse

    assert isinstance(parse(content, "the list"), dict)


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


def run_boot(content: bytes) -> None:
    """Read a boot menu."""
    from regild.describe.boot import read_boot
    from tests.describe.guests import MemoryTree

    read_boot(MemoryTree({"/boot/grub/grub.cfg": content, "/boot/loader/entries/a.conf": content}))


def run_apk_settings(path: str, content: bytes) -> None:
    """Describe a guest of apk that has these bytes in a place."""
    from regild.describe.reader import describe_guest
    from regild.model.digest import canonical
    from tests.describe.guests import MemoryTree, guest
    from tests.describe.test_apk_planning import FILES

    tree = MemoryTree({**FILES, path: content})
    assert canonical(describe_guest(guest(tree)))


def run_apk_database(content: bytes) -> None:
    """Read what apk's database says of files, and who owns them."""
    from regild.change.apk_owners import owned_in
    from regild.prove.apk_database import read_apk_files
    from tests.describe.guests import MemoryTree

    tree = MemoryTree({"/lib/apk/db/installed": content})
    found = read_apk_files(tree)
    assert found is not None
    assert len(list(owned_in(tree, frozenset(found.by_name)))) == len(found.installed)
    assert not any(found.is_protected(path) and "etc" not in path for path in found.sums)


def run_bom(content: bytes) -> None:
    """Read a bill of materials of somebody else, and write ours of it."""
    from regild.describe.bom_reader import read_bom

    read_bom(content, "the bill")


def seeds_of_setups() -> Iterator[bytes]:
    """The registry's part of a machine, before and while a run is to be started."""
    from regild.change.hive import patched
    from regild.change.windows_hook import make_hook
    from tests.describe.hives import SETUP, hive

    content = hive(folder() / "seed.hive", {"Setup": SETUP})
    yield content
    yield patched(content, make_hook(content).patches)


def seeds_of_hives() -> Iterator[bytes]:
    """An empty hive, and a small one of a server."""
    from tests.describe.hives import SERVER_2022, empty, hive

    yield empty(folder() / "seed.hive").read_bytes()
    yield hive(folder() / "seed.hive", SERVER_2022)


def seeds_of_property_lists() -> Iterator[bytes]:
    """The same list in both forms."""
    import plistlib

    from tests.describe.test_macos import SYSTEM

    for form in (plistlib.FMT_XML, plistlib.FMT_BINARY):
        yield plistlib.dumps({**SYSTEM, "a": [1, 2.5, True, b"x"]}, fmt=form)


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

TARGETS: dict[str, Target] = {
    "copyright": Target(
        run_copyright,
        texts(
            "Format: https://x/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ or Artistic, and"
            " Expat\n\nFiles: a\nLicense: GPL-2 with Linux-syscall-note exception\n text\n"
        ),
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
    "windows-setup": Target(run_windows_setup, seeds_of_setups),
    "windows-report": Target(
        run_windows_report,
        texts(
            'regild {"say":"hello","step":1}\nregild {"say":"begin","step":1}\n'
            'regild {"say":"end","step":1,"code":3010}\nregild {"say":"restart"}\n',
            'regild {"say":"hello","step":1}\nregild {"say":"broken","why":"no"}\n',
            'regild {"say":"done","build":"20348","ubr":2900}\n',
        ),
    ),
    "property-list": Target(run_property_list, seeds_of_property_lists),
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
    "apk-database": Target(
        run_apk_database,
        texts("C:Q1a=\nP:a\nV:1-r0\nf:sS\nF:etc\nM:0:0:755\nR:b\na:0:0:600\nZ:Q1VFqm8pEgk=\n\n"),
    ),
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
    "bom": Target(run_bom, seeds_of_boms),
}
