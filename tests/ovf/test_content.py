from __future__ import annotations

import base64
import gzip
import io
import re
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.errors import (
    Ambiguous,
    DigestMismatch,
    Malformed,
    MissingFile,
    TooLarge,
    UnsupportedFormat,
)
from regild.model.appliance import Descriptor
from regild.model.content import Content, Package, Planning, Platform, Source
from regild.model.digest import sha256_of
from regild.ovf import names, section_writer
from regild.ovf.content import insert_descriptor, read_descriptor, strip_descriptor
from regild.ovf.markup import parse
from regild.ovf.rewrite import add_file
from tests.ovf.samples import OVF_1, envelope, rich_descriptor, system

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = st.lists(TEXT.filter(bool), max_size=3).map(tuple)
PACKAGE = st.builds(
    Package,
    type=st.sampled_from(["deb", "pypi", ""]),
    purl=st.one_of(TEXT, st.just("pkg:deb/debian/a@1?arch=amd64")),
    **dict.fromkeys(
        ("name", "version", "arch", "source", "source_version", "state", "where"), TEXT
    ),
    hold=st.booleans(),
    auto=st.booleans(),
)
CONTENT = st.builds(
    Content,
    platform=st.builds(
        Platform,
        family=TEXT, id=TEXT, version=TEXT, codename=TEXT, name=TEXT, arch=TEXT, kernels=WORDS,
        edition=TEXT, build=TEXT, ubr=st.integers(0, 99999),
    ),
    packages=st.lists(PACKAGE, max_size=5).map(tuple),
    sources=st.lists(
        st.builds(
            Source,
            type=TEXT, uri=TEXT.filter(lambda uri: "@" not in uri), suite=TEXT, components=WORDS,
            architectures=WORDS, signed_by=WORDS, enabled=st.booleans(), trusted=st.booleans(),
            options=WORDS, where=TEXT,
        ),
        max_size=3,
    ).map(tuple),
    planning=st.builds(Planning, type=TEXT, status=TEXT, auto=WORDS, architectures=WORDS),
)  # fmt: skip


def section_of(content: bytes) -> bytes:
    match = re.search(rb"<rg:ContentDescriptorSection.*</rg:ContentDescriptorSection>", content, 16)
    assert match is not None
    return match[0]


def test_a_rich_descriptor_comes_back_whole() -> None:
    described = insert_descriptor(envelope(), rich_descriptor())
    found = read_descriptor(described)
    assert found == rich_descriptor()
    assert found is not None
    assert found.content.state == rich_descriptor().content.state


@settings(max_examples=150, deadline=None)
@given(CONTENT)
def test_the_state_that_plans_start_from_survives_the_section(content: Content) -> None:
    found = read_descriptor(insert_descriptor(envelope(), Descriptor(content=content)))
    assert found is not None
    assert found.content == content
    assert found.content.state == content.state


def test_every_field_of_the_values_is_said_in_the_sample() -> None:
    """A new field of the model must be written to the section too; this fails until it is."""

    def check(value: msgspec.Struct) -> None:
        for field in msgspec.structs.fields(type(value)):
            found = getattr(value, field.name)
            if field.required:
                continue
            assert found != field.default, f"{type(value).__name__}.{field.name}"
            if isinstance(found, msgspec.Struct):
                check(found)

    descriptor = rich_descriptor()
    content = descriptor.content
    for value in (descriptor, content, content.packages[1], content.sources[0], content.volumes[0]):
        check(value)


def test_r8_taking_it_out_gives_the_original_bytes() -> None:
    for original in (
        envelope(),
        envelope().replace(b"\n", b"\r\n"),
        re.sub(rb">\s+<", b"><", envelope()),
        envelope(systems='<VirtualSystem ovf:id="vm"/>'),
        envelope(systems='<VirtualSystem ovf:id="vm" \n/>'),
        envelope(systems='<VirtualSystem ovf:id="vm"></VirtualSystem >'),
        envelope(systems='<VirtualSystem ovf:id="vm"> \t </VirtualSystem>'),
    ):
        described = insert_descriptor(original, rich_descriptor())
        assert read_descriptor(described) == rich_descriptor()
        assert strip_descriptor(described) == original
        assert strip_descriptor(original) == original


def test_an_embedded_bill_of_materials_is_taken_out_with_it() -> None:
    original = envelope()
    added = add_file(original, names.BOM_FILE_ID, "vm.cdx.json", 9)
    assert strip_descriptor(insert_descriptor(added, rich_descriptor())) == original


def test_w9_a_second_one_takes_the_place_of_the_first() -> None:
    once = insert_descriptor(envelope(), rich_descriptor())
    assert insert_descriptor(once, rich_descriptor()) == once
    other = insert_descriptor(once, Descriptor(content=Content(platform=Platform(id="x"))))
    assert other.count(b"<rg:ContentDescriptorSection") == 1


def test_each_system_has_its_own() -> None:
    original = envelope(systems=system("a") + system("b"))
    with pytest.raises(Ambiguous):
        insert_descriptor(original, rich_descriptor())
    with pytest.raises(MissingFile):
        insert_descriptor(original, rich_descriptor(), "c")
    described = insert_descriptor(original, rich_descriptor(), "b")
    assert read_descriptor(described, "a") is None
    assert read_descriptor(described, "b") == rich_descriptor()
    both = insert_descriptor(described, rich_descriptor(), "a")
    assert strip_descriptor(both) == original


def test_w1_the_section_stands_alone_and_last_and_is_not_required() -> None:
    described = insert_descriptor(envelope(), rich_descriptor())
    machine = parse(described, "x").children[-1]
    section = machine.children[-1]
    assert section.name == (names.CONTENT, names.SECTION)
    assert section.value("required", OVF_1) == "false"
    assert section.children[0].name == (OVF_1, "Info")
    alone = parse(section_of(described), "x")
    assert [child.name for child in alone.walk()] == [child.name for child in section.walk()]


def test_w2_no_name_of_ours_is_one_of_ovf() -> None:
    taken = {
        "References", "File", "Disk", "DiskSection", "Item", "Section", "Content", "VirtualSystem",
        "VirtualSystemCollection", "Property", "ProductSection", "OperatingSystemSection",
        "Machine", "Name", "Icon", "Network", "Description", "System", "Product", "Vendor",
        "Version", "Category", "Label", "License", "Annotation", "Strings", "Msg", "Envelope",
        "StorageItem", "EthernetPortItem", "Configuration", "Info", *names.SECTIONS,
    }  # fmt: skip
    section = parse(section_of(insert_descriptor(envelope(), rich_descriptor())), "x")
    ours = {element.local for element in section.walk() if element.name[0] == names.CONTENT}
    assert len(ours) > 10
    assert not ours & taken


def test_w7_the_planning_state_is_left_out_where_the_section_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(section_writer, "MAX_SECTION", 1000)
    found = read_descriptor(insert_descriptor(envelope(), rich_descriptor()))
    assert found is not None
    assert found.content.planning == Planning()
    assert found.content.unknowns[-1].where == "planning state"


def test_w7_thirteen_hundred_packages_fit() -> None:
    packages = tuple(
        Package(
            type="deb", name=f"package-{n}", version=f"1.{n}-1", arch="amd64", source="source",
            source_version=f"1.{n}-1", where="/var/lib/dpkg/status",
            purl=f"pkg:deb/debian/package-{n}@1.{n}-1?arch=amd64&distro=debian-12",
        )
        for n in range(1321)
    )  # fmt: skip
    status = "".join(
        f"Package: {p.name}\nDepends: libc6 (>= 2.{n})\n" for n, p in enumerate(packages)
    )
    content = Content(platform=Platform(), packages=packages, planning=Planning("deb", status))
    described = insert_descriptor(envelope(), Descriptor(content=content))
    assert len(described) < 200_000
    begun = time.process_time()
    found = read_descriptor(described)
    assert time.process_time() - begun < 1
    assert found is not None
    assert found.content == content


def test_r9_a_changed_package_list_is_noticed() -> None:
    described = insert_descriptor(envelope(), rich_descriptor())
    for before, after in (
        (b'version="12"', b'version="13"'),
        (b'hold="true"', b'hold="false"'),
        (b'count="2"', b'count="1"'),
    ):
        assert before in described
        with pytest.raises(DigestMismatch):
            read_descriptor(described.replace(before, after))


def test_r9_a_changed_planning_state_is_noticed() -> None:
    other = msgspec.structs.replace(
        rich_descriptor(),
        content=msgspec.structs.replace(
            rich_descriptor().content, planning=Planning(type="deb", status="other")
        ),
    )
    texts = [
        re.search(rb"<rg:PlanningState[^>]*>([^<]*)<", insert_descriptor(envelope(), one))
        for one in (rich_descriptor(), other)
    ]
    assert texts[0] is not None
    assert texts[1] is not None
    described = insert_descriptor(envelope(), rich_descriptor())
    with pytest.raises(DigestMismatch):
        read_descriptor(described.replace(texts[0][1], texts[1][1]))


def planned(packed: bytes, digest: str = "") -> bytes:
    """A section whose planning state holds the given packed bytes."""
    digest = digest or sha256_of(b"")
    text = base64.b64encode(packed).decode()
    section = (
        f'<rg:ContentDescriptorSection xmlns:rg="{names.CONTENT}" schemaVersion="1.0">'
        f'<rg:PlanningState encoding="gzip+base64" digest="{digest}">{text}</rg:PlanningState>'
        f"</rg:ContentDescriptorSection>"
    )
    return envelope(systems=f'<VirtualSystem ovf:id="vm">{section}</VirtualSystem>')


def test_a_planning_state_that_unpacks_to_ten_gigabytes_is_bounded() -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packer:
        for _ in range(200):
            packer.write(bytes(1 << 20))
    begun = time.process_time()
    with pytest.raises(TooLarge):
        read_descriptor(planned(buffer.getvalue()))
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no gzip",
        gzip.compress(b"{}")[:-4],
        gzip.compress(b"{}") + b"more",
        gzip.compress(b"{}") * 2,
        gzip.compress(b"\xff"),
        gzip.compress(b"[]"),
        gzip.compress(b'{"status": 3}'),
        gzip.compress(b'{"z":' + b"[" * 100_000),
        gzip.compress(b'{"z":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
)
def test_a_damaged_planning_state_is_refused(packed: bytes) -> None:
    plain = b""
    try:
        plain = gzip.decompress(packed)
    except (OSError, EOFError):
        plain = b""
    with pytest.raises((Malformed, DigestMismatch)):
        read_descriptor(planned(packed, sha256_of(plain)))


def test_two_sections_are_ambiguous() -> None:
    described = insert_descriptor(envelope(), rich_descriptor())
    section = section_of(described)
    with pytest.raises(Ambiguous):
        read_descriptor(described.replace(section, section + section))
    assert read_descriptor(strip_descriptor(described.replace(section, section + section))) is None


def test_a_section_outside_a_system_is_refused() -> None:
    section = section_of(insert_descriptor(envelope(), rich_descriptor()))
    with pytest.raises(Malformed):
        read_descriptor(envelope(extra=section.decode()))


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        (b'schemaVersion="1.0"', b'schemaVersion="2.0"', UnsupportedFormat),
        (b'schemaVersion="1.0"', b'schemaVersion="one"', Malformed),
        (b'schemaVersion="1.0"', b"", Malformed),
        (b'generation="7"', b'generation="-7"', Malformed),
        (b'generation="7"', b'generation="' + b"9" * 40 + b'"', Malformed),
        (b'encoding="gzip+base64"', b'encoding="xz"', Malformed),
        (b'stored="sha256:', b'stored="sha256:xx', Malformed),
        (b'stored="sha256:', b'stored="sha256:00', Malformed),
        (b'location="sidecar"', b'location="elsewhere"', Malformed),
        (b'trusted="true"', b'trusted="yes"', Malformed),
        (b"<rg:Platform ", b"<rg:Platform/><rg:Platform ", Malformed),
    ],
)
def test_what_does_not_follow_the_specification_is_refused(
    before: bytes, after: bytes, error: type[Exception]
) -> None:
    described = insert_descriptor(envelope(), rich_descriptor())
    assert before in described
    with pytest.raises(error):
        read_descriptor(described.replace(before, after, 1))


def test_a_later_minor_version_is_read() -> None:
    described = insert_descriptor(envelope(), rich_descriptor())
    later = (
        described.replace(b'schemaVersion="1.0"', b'schemaVersion="1.7" mood="good"')
        .replace(b"<rg:Platform ", b"<rg:Weather sky='blue'/><rg:Platform cloud='9' ")
        .replace(b"</ovf:Info>", b"</ovf:Info><x:y xmlns:x='urn:x'/>")
    )
    assert read_descriptor(later) == rich_descriptor()


def test_credentials_never_reach_the_section() -> None:
    source = Source(type="apt", uri="https://user:secret@mirror.example/debian", suite="x")
    content = Content(platform=Platform(), sources=(source,))
    described = insert_descriptor(envelope(), Descriptor(content=content))
    assert b"secret" not in described
    assert b'uri="https://mirror.example/debian"' in described
    strange = described.replace(b"//mirror.example", b"//user:secret@mirror.example")
    assert read_descriptor(strange) == read_descriptor(described)


def test_bytes_that_are_no_text_are_refused() -> None:
    for content in (
        Content(platform=Platform(name="\udc80")),
        Content(platform=Platform(), planning=Planning(type="deb", status="\udc80")),
    ):
        with pytest.raises(Malformed):
            insert_descriptor(envelope(), Descriptor(content=content))


def test_equal_descriptors_give_equal_bytes() -> None:
    assert insert_descriptor(envelope(), rich_descriptor()) == insert_descriptor(
        envelope(), rich_descriptor()
    )


def test_the_summary_is_a_sentence_for_people() -> None:
    found = section_writer.summary_of(
        Descriptor(
            content=Content(
                platform=Platform(name="Debian 12"), packages=(Package("deb", "a", "1"),)
            ),
            created="2026-11-22T19:00:00Z",
            tool="regild 0.1",
        )
    )
    assert found == "Debian 12, 1 package, described 2026-11-22 by regild 0.1"
