"""Each rule finds what it is for in a package that was clean before, and nothing else changes."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.errors import RegildError
from regild.ovf.lint.check import check_package
from regild.ovf.lint.survey import survey_package
from regild.ovf.lint.table import RULES, TARGETS, Rule
from tests.ovf.lint.packages import (
    DISK,
    MF,
    OVF,
    VMDK,
    Files,
    changed,
    clean,
    envelope,
    manifest,
    pack,
    with_file,
)

Broken = Callable[[Path], Path]
FILE = b'<File ovf:href="%s" ovf:id="extra"/>'
FOREIGN = b'<x:%s xmlns:x="urn:x" ovf:required="false"><Info>x</Info></x:%s>'
ITEM = (
    b"<Item><rasd:ElementName>x</rasd:ElementName><rasd:InstanceID>99</rasd:InstanceID>"
    b"<rasd:ResourceType>17</rasd:ResourceType></Item>"
)
PRODUCT = b"<ProductSection><Info>x</Info>%s</ProductSection>"
SYSTEM_INFO = b"<Info>A virtual machine</Info>"
AT_DISK = b'ovf:diskId="vmdisk1"'


def packed(
    files: Callable[[], Files], style: int = tarfile.USTAR_FORMAT, folder: str = ""
) -> Broken:
    return lambda path: pack(path / "x.ova", files(), style, folder)


def edited(before: bytes, after: bytes, described: bool = False) -> Broken:
    return packed(lambda: changed(before, after, described))


def reordered(*names: str) -> Broken:
    files = {**clean(), "vm.cert": b"", "x": b""}
    return packed(lambda: {name: files[name] for name in names})


def lines(change: Callable[[str], str]) -> Broken:
    return packed(lambda: {**clean(), MF: change(clean()[MF].decode()).encode()})


def two_disks() -> Files:
    disk = b'<Disk ovf:capacity="1" ovf:diskId="vmdisk2" ovf:fileRef="extra"/></DiskSection>'
    files = with_file("b.vmdk", FILE % b"b.vmdk")
    return clean_again(files, b"</DiskSection>", disk)


def swapped() -> Files:
    files = with_file("a.iso", FILE % b"a.iso", b'<File ovf:href="vm-disk1')
    return {OVF: files[OVF], MF: files[MF], "a.iso": files["a.iso"], VMDK: DISK}


def clean_again(files: Files, before: bytes, after: bytes) -> Files:
    """The same package with other words in the envelope, and a manifest that fits."""
    assert before in files[OVF]
    files = {**files, OVF: files[OVF].replace(before, after)}
    return {**files, MF: manifest(files)}


def twin(path: Path) -> Path:
    made = pack(path / "x.ova", clean())
    with tarfile.open(made, "a", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(VMDK))
    return made


def system_twice() -> Files:
    content = envelope(described=False)
    begin, end = content.index(b"  <VirtualSystem "), content.index(b"</Envelope>")
    two = b'<VirtualSystemCollection ovf:id="c"><Info>c</Info>%s</VirtualSystemCollection>'
    return clean(content[:begin] + two % (content[begin:end] * 2) + content[end:])


SECOND = envelope()[envelope().index(b"<rg:Content") : envelope().index(b"</VirtualSystem>")]
LONG = b"d" * 120 + b".vmdk"
BROKEN: dict[str, Broken] = {
    "ovf-first": reordered(VMDK, OVF, MF),
    "one-ovf": packed(lambda: {**clean(), "a.ovf": b"<x/>"}),
    "pax-header": packed(lambda: with_file(LONG.decode(), FILE % LONG), style=tarfile.PAX_FORMAT),
    "gnu-long-name": packed(
        lambda: with_file(LONG.decode(), FILE % LONG), style=tarfile.GNU_FORMAT
    ),
    "folder-member": packed(clean, folder="folder"),
    "member-in-folder": packed(lambda: with_file("a/b.iso", FILE % b"a/b.iso")),
    "dot-slash": packed(lambda: {f"./{name}": content for name, content in clean().items()}),
    "macos-junk": packed(lambda: {"._vm.ovf": b"", **clean()}),
    "member-twice": twin,
    "member-order": packed(
        lambda: {
            name: with_file("a.iso", FILE % b"a.iso")[name] for name in (OVF, MF, "a.iso", VMDK)
        }
    ),
    "manifest-place": packed(
        lambda: {
            name: with_file("a.iso", FILE % b"a.iso")[name] for name in (OVF, VMDK, MF, "a.iso")
        }
    ),
    "member-unreferenced": packed(lambda: {**clean(), "readme": b""}),
    "ovirt-member": edited(b"<Envelope ", b'<Envelope xmlns:ovirt="http://www.ovirt.org/ovf" '),
    "manifest-missing": packed(lambda: {OVF: envelope(), VMDK: DISK}),
    "manifest-name": packed(lambda: {OVF: envelope(), "other.mf": clean()[MF], VMDK: DISK}),
    "manifest-syntax": lines(lambda text: text.replace("SHA256(", "SHA2-256 (")),
    "manifest-algorithm": packed(lambda: {**clean(), MF: manifest(clean(), "sha512")}),
    "manifest-incomplete": lines(lambda text: text.split("\n")[0] + "\n"),
    "manifest-uncovered": packed(lambda: {**clean(), "readme": b""}),
    "manifest-absent-file": lines(lambda text: text + f"SHA256(none)= {'0' * 64}\n"),
    "manifest-twice": lines(lambda text: text * 2),
    "manifest-digest": lines(lambda text: text.split("= ")[0] + "= " + "0" * 64 + "\n"),
    "certificate-alone": packed(lambda: {OVF: envelope(), "vm.cert": b"", VMDK: DISK}),
    "certificate-broken": packed(lambda: {**clean(), "vm.cert": b"no certificate"}),
    "file-missing": packed(lambda: {name: clean()[name] for name in (OVF, MF)}),
    "size-mismatch": edited(b'ovf:size="28"', b'ovf:size="29"'),
    "id-missing": edited(b'ovf:id="file1"', b""),
    "id-twice": packed(system_twice),
    "href-twice": packed(lambda: with_file("x", FILE % VMDK.encode())),
    "href-own": packed(lambda: changed(b"</References>", FILE % b"vm.mf" + b"</References>")),
    "href-absolute": edited(b'href="vm-disk1.vmdk"', b'href="http://mirror.example/a.vmdk"'),
    "href-unsafe": edited(b'href="vm-disk1.vmdk"', b'href="../vm-disk1.vmdk"'),
    "href-folder": packed(lambda: with_file("a/b.iso", FILE % b"a/b.iso")),
    "href-letters": packed(lambda: with_file("a%b.iso", FILE % b"a%b.iso")),
    "id-letters": edited(b'"vmdisk1"', b'"vm disk1"'),
    "file-order": packed(swapped),
    "file-ending": packed(lambda: with_file("a.json", FILE % b"a.json")),
    "extra-like-disk": packed(lambda: with_file("a.vmdk", FILE % b"a.vmdk")),
    "compression-unknown": edited(b'ovf:id="file1"', b'ovf:id="file1" ovf:compression="xz"'),
    "disk-file": edited(b'ovf:fileRef="file1"', b'ovf:fileRef="file2"'),
    "disk-capacity": edited(b'ovf:capacity="1073741824"', b'ovf:capacity="much"'),
    "several-disks": packed(two_disks),
    "ovf-2": packed(lambda: clean(envelope(False).replace(b"/ovf/envelope/1", b"/ovf/envelope/2"))),
    "ovf-draft": packed(
        lambda: clean(
            envelope(False).replace(
                b"http://schemas.dmtf.org/ovf/envelope/1",
                b"http://www.vmware.com/schema/ovf/1/envelope",
            )
        )
    ),
    "ovf-2-item": packed(lambda: clean(envelope(False).replace(b"Item>", b"StorageItem>"))),
    "required-section": edited(
        b"</VirtualSystem>", b'<x:S xmlns:x="urn:x"><Info>x</Info></x:S></VirtualSystem>'
    ),
    "section-info": edited(b"<Info>Virtual disks</Info>", b""),
    "hardware-element": edited(
        b"</VirtualHardwareSection>", b'<x:Y xmlns:x="urn:x"/></VirtualHardwareSection>'
    ),
    "shadowed-name": edited(
        b"</VirtualSystem>", FOREIGN % ((b"ProductSection",) * 2) + b"</VirtualSystem>"
    ),
    "shadowed-disk": edited(b"</VirtualSystem>", FOREIGN % ((b"Disk",) * 2) + b"</VirtualSystem>"),
    "shadowed-attribute": edited(AT_DISK, AT_DISK + b' xmlns:x="urn:x" x:capacity="1"'),
    "ovf-size": edited(b"</Envelope>", b"</Envelope>" + b" " * (1 << 20)),
    "no-system": packed(
        lambda: clean(
            envelope(False)
            .replace(b"VirtualSystem ", b"VirtualSystemCollection ")
            .replace(b"</VirtualSystem>", b"</VirtualSystemCollection>")
        )
    ),
    "descriptor-broken": edited(b'count="', b'count="9', described=True),
    "descriptor-place": edited(
        b"</VirtualSystem>",
        b"<AnnotationSection><Info>x</Info><Annotation/></AnnotationSection></VirtualSystem>",
        described=True,
    ),
    "descriptor-fragment": edited(b'ovf:required="false"', b"", described=True),
    "descriptor-binding": edited(b'stored="sha256:', b'stored="sha256:0', described=True),
    "bom-missing": edited(b'location="none"', b'location="package" ref="a"', described=True),
    "section-place": edited(
        b"</VirtualSystem>",
        b"<NetworkSection><Info>x</Info></NetworkSection></VirtualSystem>",
    ),
    "system-info": edited(SYSTEM_INFO, b""),
    "item-incomplete": edited(b"<rasd:ResourceType>17</rasd:ResourceType>", b""),
    "item-twice": edited(b"</VirtualHardwareSection>", ITEM * 2 + b"</VirtualHardwareSection>"),
    "item-number": edited(
        b"</VirtualHardwareSection>",
        ITEM.replace(b"17<", b"seventeen<") + b"</VirtualHardwareSection>",
    ),
    "item-element": edited(b"<rasd:ResourceType>17<", b"<rasd:Colour/><rasd:ResourceType>17<"),
    "network-unlisted": edited(
        b"<rasd:ResourceType>17<", b"<rasd:Connection>moon</rasd:Connection><rasd:ResourceType>17<"
    ),
    "product-twice": edited(b"</VirtualSystem>", PRODUCT % b"" * 2 + b"</VirtualSystem>"),
    "property-key": edited(
        b"</VirtualSystem>",
        PRODUCT % (b'<Property ovf:key="a" ovf:type="string"/>' * 2) + b"</VirtualSystem>",
    ),
    "property-type": edited(
        b"</VirtualSystem>",
        PRODUCT % b'<Property ovf:key="a" ovf:type="colour"/>' + b"</VirtualSystem>",
    ),
    "size-number": edited(b'ovf:size="28"', b'ovf:size="-28"'),
}
"""For each rule a package that breaks it."""


def found_in(path: Path, *targets: str) -> set[str]:
    return {one.rule for one in check_package(survey_package(path), targets or TARGETS)}


@pytest.mark.parametrize("described", [True, False])
def test_a_clean_package_has_no_finding_for_any_target(tmp_path: Path, described: bool) -> None:
    files = clean(envelope(described))
    assert found_in(pack(tmp_path / "x.ova", files)) == set()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert found_in(tmp_path / OVF) == set()


def test_an_envelope_may_be_called_anything(tmp_path: Path) -> None:
    path = tmp_path / "machine.xml"
    path.write_bytes(clean()[OVF])
    assert survey_package(path).envelope_name == "machine.xml"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_rule_catches(rule: Rule, tmp_path: Path) -> None:
    assert rule.id in found_in(BROKEN[rule.id](tmp_path))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_only_its_targets_are_told(rule: Rule, tmp_path: Path) -> None:
    path = BROKEN[rule.id](tmp_path)
    for target in TARGETS:
        assert (rule.id in found_in(path, target)) == (target in rule.targets)


def test_each_rule_has_a_package_that_breaks_it_and_says_all() -> None:
    assert set(BROKEN) == {rule.id for rule in RULES}
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.targets
        assert set(rule.targets) <= set(TARGETS)
        assert rule.what and rule.why and rule.fix
    assert {target for rule in RULES for target in rule.targets} == set(TARGETS)


def test_w3_a_bill_inside_is_told_to_xencenters_users_only(tmp_path: Path) -> None:
    files = with_file("vm.cdx.json", FILE % b"vm.cdx.json")
    path = pack(tmp_path / "x.ova", files)
    assert found_in(path) == {"file-ending"}
    assert found_in(path, *(one for one in TARGETS if one != "xenserver")) == set()


def test_a_bare_envelope_can_be_linted(tmp_path: Path) -> None:
    (tmp_path / OVF).write_bytes(envelope())
    assert found_in(tmp_path / OVF) == {"file-missing"}


def test_places_are_lines(tmp_path: Path) -> None:
    (one,) = check_package(survey_package(BROKEN["size-mismatch"](tmp_path)))
    assert one.where == "vm.ovf:4"
    assert one.detail == "vm-disk1.vmdk holds 28 bytes, 29 are stated"


def test_a_hostile_envelope_gives_bounded_findings(tmp_path: Path) -> None:
    many = b'<File ovf:href="../x" ovf:id="a"/>' * 15_000
    (tmp_path / OVF).write_bytes(envelope(False).replace(b"</References>", many + b"</References>"))
    assert len(check_package(survey_package(tmp_path / OVF))) < 200


def test_the_corpus_is_linted_without_a_crash(shared: Path) -> None:
    linted, refused = 0, []
    for path in sorted((shared / "corpus/ovf").rglob("*.ov[fa]")):
        try:
            check_package(survey_package(path))
            linted += 1
        except RegildError as error:
            refused.append(str(error))
    assert linted > 580
    assert len(refused) <= 11, refused


def test_the_guide_lists_each_rule() -> None:
    guide = (Path(__file__).parents[3] / "docs/guide/lint.md").read_text()
    listed = [line.split("`")[1] for line in guide.splitlines() if line.startswith("| `")]
    assert listed == [*TARGETS, *(rule.id for rule in RULES)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["disks", "systems", "lines"])
def test_a_hostile_package_is_linted_in_linear_time(tmp_path: Path, kind: str) -> None:
    content, lines = envelope(described=False), manifest(clean())
    if kind == "disks":
        chain = (
            b'<Disk ovf:diskId="d%d" ovf:parentRef="d%d" ovf:capacity="1"/>' % (n, n + 1)
            for n in range(20_000)
        )
        content = content.replace(b"</DiskSection>", b"".join(chain) + b"</DiskSection>")
    elif kind == "systems":
        many = b'<VirtualSystem ovf:id="a"><Info/></VirtualSystem><x:A xmlns:x="u"/>' * 12_000
        inside = b'<VirtualSystemCollection ovf:id="c"><Info/>%s</VirtualSystemCollection>' % many
        content = content.replace(b"</Envelope>", inside + b"</Envelope>")
    else:
        lines *= 5_000
    (tmp_path / OVF).write_bytes(content)
    (tmp_path / MF).write_bytes(lines)
    (tmp_path / VMDK).write_bytes(b"d" * (1 << 20))
    assert found_in(tmp_path / OVF)
