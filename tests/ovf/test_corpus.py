"""Every descriptor of the corpus is read or refused for a reason, and edited without a loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.errors import RegildError
from regild.model.appliance import Envelope
from regild.model.progress import Silent
from regild.ovf.archive import open_appliance
from regild.ovf.content import insert_descriptor, read_descriptor, strip_descriptor
from regild.ovf.envelope import parse_envelope, read_envelope, systems_of
from regild.ovf.manifest_check import check_manifest
from regild.ovf.markup import parse
from regild.ovf.rewrite import DiskPatch, add_file, patch_sizes, remove_file
from tests.ovf.samples import rich_descriptor

REFUSED = {
    "COT/tests/ersatz_ovf_3.0.ovf": "a namespace that does not exist",
    "COT/tests/invalid.ovf": "labelled: disks without files",
    "PvScsis_old/descriptor.ovf": "an HTML page",
    "Envelope/Neg/fileelements_samefile.ovf": "labelled",
    "Envelope/Neg/invalid_env.ovf": "labelled",
    "Envelope/Neg/invalid_no_file_in_ref.ovf": "labelled",
    "Envelope/Neg/invalid_no_ref.ovf": "labelled",
    "Envelope/Neg/invalid_ref_dup_id.ovf": "labelled",
    "Envelope/Neg/invalid_ref_id.ovf": "labelled",
    "Envelope/Neg/invalid_ref_no_href.ovf": "labelled",
    "ProductSection/Neg/prop_dup_keys.ovf": "labelled, and an unbound prefix",
    "ProductSection/Neg/prop_invalid_type.ovf": "labelled, and an unbound prefix",
    "ProductSection/Neg/prop_no_key.ovf": "labelled, and an unbound prefix",
    "testDBpathLimitwwwwwwwwwwwwwww/descriptor.ovf": "an empty file",
    "external/jeos_corrupted.ovf": "labelled: does not begin with XML",
    "ovftoolresources/item_msgid.ovf": "an unbound prefix",
    "ovftoolresources/item_msgid_elename.ovf": "an unbound prefix",
    "XenAdminTests/TestResources/sample_app.ovf": "says UTF-16 and is UTF-8",
}
"""The end of the path of each refused file, and why."""


@pytest.fixture(scope="module")
def corpus(shared: Path) -> dict[Path, bytes]:
    found = {path: path.read_bytes() for path in sorted((shared / "corpus/ovf").rglob("*.ovf"))}
    assert len(found) == 590
    return found


@pytest.fixture(scope="module")
def readable(corpus: dict[Path, bytes]) -> dict[Path, tuple[bytes, Envelope]]:
    found = {}
    for path, content in corpus.items():
        try:
            found[path] = (content, read_envelope(content, str(path)))
        except RegildError as error:
            assert str(error)
    return found


def test_each_file_is_read_or_refused_for_a_known_reason(
    corpus: dict[Path, bytes], readable: dict[Path, tuple[bytes, Envelope]]
) -> None:
    refused = sorted(str(path) for path in corpus if path not in readable)
    assert [path for path in refused if not path.endswith(tuple(REFUSED))] == []
    assert len(refused) == len(REFUSED)


def test_inserting_and_taking_out_gives_every_byte_back(
    readable: dict[Path, tuple[bytes, Envelope]],
) -> None:
    descriptor = rich_descriptor()
    tried = 0
    for path, (content, envelope) in readable.items():
        for system in envelope.systems[:2]:
            ids = [one.id for one in envelope.systems]
            if ids.count(system.id) > 1:
                continue
            described = insert_descriptor(content, descriptor, system.id, str(path))
            assert read_descriptor(described, system.id, str(path)) == descriptor
            machine = next(
                one
                for one in systems_of(parse_envelope(described))
                if one.value("id", one.name[0]) == system.id
            )
            assert machine.children[-1].local == "ContentDescriptorSection"
            assert strip_descriptor(described, str(path)) == content
            tried += 1
    assert tried > 580


def test_sizes_and_files_are_edited_in_place(
    readable: dict[Path, tuple[bytes, Envelope]],
) -> None:
    for content, envelope in readable.values():
        sizes = {file.id: 4711 for file in envelope.files}
        patch = DiskPatch(populated_bytes=11, capacity_bytes=1 << 33)
        patched = patch_sizes(content, sizes, {disk.id: patch for disk in envelope.disks})
        found = read_envelope(patched)
        assert all(file.bytes in (4711, None) for file in found.files)
        assert all(disk.capacity_bytes in (1 << 33, None) for disk in found.disks)
        assert [e.name for e in parse(patched, "x").walk()] == [
            e.name for e in parse(content, "x").walk()
        ]
        if envelope.files:
            added = add_file(content, "regild-inventory-1", "regild.cdx.json", 1)
            assert read_envelope(added).files[-1].href == "regild.cdx.json"
            assert remove_file(added, "regild-inventory-1") == content


def test_packages_of_the_corpus_are_opened(shared: Path) -> None:
    opened = 0
    for path in sorted((shared / "corpus/ovf").rglob("*.ova")):
        with open_appliance(path, complete=False) as appliance:
            differences = check_manifest(appliance, Silent())
            assert bool(differences) == (path.name == "ourOVF.ova")
            opened += 1
    assert opened == 4
