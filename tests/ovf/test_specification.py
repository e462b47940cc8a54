"""The published specification is true: schema, examples, and a reader written from it alone."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from lxml import etree

from regild.errors import RegildError
from regild.model.appliance import Descriptor
from regild.model.content import Planning
from regild.ovf.archive import open_appliance
from regild.ovf.content import insert_descriptor, read_descriptor, strip_descriptor
from regild.ovf.envelope import read_envelope
from tests.ovf.examples import EXAMPLES, FOLDER
from tests.ovf.samples import envelope, rich_descriptor, write_ova

SPEC = FOLDER.parent
XSD_1 = "corpus/xsd/vatesfr__xen-orchestra/packages/xo-vmdk-to-vhd/src/ova-schema/dsp8023_1.1.1.xsd"
OVF_1 = "http://schemas.dmtf.org/ovf/envelope/1"


@pytest.fixture(scope="session")
def reader() -> ModuleType:
    path = SPEC / "reader/read_descriptor.py"
    found = importlib.util.spec_from_file_location("second_reader", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def schemas(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    both = tmp_path_factory.mktemp("xsd") / "both.xsd"
    both.write_text(
        f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
        <xs:import namespace="{OVF_1}" schemaLocation="{shared / XSD_1}"/>
        <xs:import namespace="urn:regild:ovf:content:1"
          schemaLocation="{SPEC / "content-descriptor.xsd"}"/></xs:schema>"""
    )
    return etree.XMLSchema(etree.parse(str(both)))


def plain_of(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor in the words of the second reader."""
    content: dict[str, Any] = json.loads(msgspec.json.encode(descriptor.content))
    del content["volumes"]
    if descriptor.content.planning == Planning():
        content["planning"] = None
    content["bindings"] = [
        {
            key: value
            for key, value in (
                ("disk", binding.disk),
                ("stored", binding.stored),
                ("virtual", binding.virtual),
                ("virtualBytes", str(binding.virtual_bytes) if binding.virtual_bytes else None),
            )
            if value
        }
        for binding in descriptor.bindings
    ]
    return content


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_those_that_this_version_writes(name: str) -> None:
    """Byte for byte, but for the planning state: deflate may differ between zlib's versions."""
    written, made = ((FOLDER / name).read_bytes(), EXAMPLES[name]())
    assert strip_descriptor(written) == strip_descriptor(made)
    for system in read_envelope(made).systems:
        assert read_descriptor(written, system.id) == read_descriptor(made, system.id)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_valid(name: str, schemas: Any) -> None:
    assert schemas.validate(etree.parse(str(FOLDER / name))), schemas.error_log


@pytest.mark.parametrize("name", EXAMPLES)
def test_both_readers_agree_on_the_examples(name: str, reader: ModuleType) -> None:
    content = (FOLDER / name).read_bytes()
    found = reader.read_file(str(FOLDER / name))
    for system in read_envelope(content).systems:
        descriptor = read_descriptor(content, system.id)
        assert (descriptor is None) == (system.id not in found)
        if descriptor is not None:
            assert found[system.id] == plain_of(descriptor)


def test_both_readers_agree_on_an_odd_descriptor(tmp_path: Path, reader: ModuleType) -> None:
    described = insert_descriptor(envelope(), rich_descriptor())
    for path in (tmp_path / "vm.ovf", tmp_path / "vm.ova"):
        if path.suffix == ".ovf":
            path.write_bytes(described)
        else:
            write_ova(path, {"vm.ovf": described, "disk1.vmdk": b"12345"})
        assert reader.read_file(str(path)) == {"vm": plain_of(rich_descriptor())}
    with open_appliance(tmp_path / "vm.ova") as appliance:
        assert appliance.envelope_bytes == described


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'version="12"', b'version="13"'),
        (b'count="2"', b'count="3"'),
        (b'schemaVersion="1.0"', b'schemaVersion="2.0"'),
        (b'schemaVersion="1.0"', b""),
        (b'encoding="gzip+base64"', b'encoding="x"'),
        (b'" bytes="748">\n', b'" bytes="748">\nAAAA'),
        (b'trusted="true"', b'trusted="yes"'),
        (b"<rg:Platform ", b"<rg:Platform/><rg:Platform "),
        (b'path="/var/lib/dpkg/status" digest', b'bytes="-1" path="/x" digest'),
        (b"<?xml", b"<!DOCTYPE x><?xml"),
        (b"<!-- kept -->", b"<!DOCTYPE Envelope>"),
    ],
)
def test_both_readers_refuse_the_same(
    tmp_path: Path, reader: ModuleType, before: bytes, after: bytes
) -> None:
    described = insert_descriptor(envelope(), rich_descriptor())
    assert before in described
    (tmp_path / "x.ovf").write_bytes(described.replace(before, after, 1))
    with pytest.raises(RegildError):
        read_descriptor((tmp_path / "x.ovf").read_bytes())
    with pytest.raises(reader.Refused):
        reader.read_file(str(tmp_path / "x.ovf"))


def test_the_second_reader_is_small_and_stands_alone(
    reader: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (SPEC / "reader/read_descriptor.py").read_text()
    assert source.count("\n") < 300
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or node.names[0].name]
    }
    assert imported <= sys.stdlib_module_names
    assert reader.main([str(FOLDER / "one-machine.ovf")]) == 0
    assert "openssl 3.0.15-1~deb12u1 amd64" in capsys.readouterr().out
    assert reader.main([str(FOLDER / "stripped.ovf")]) == 3
    (tmp_path / "x").write_bytes(b"no")
    assert reader.main([str(tmp_path / "x")]) == 4


def test_valid_input_stays_valid(shared: Path, schemas: Any) -> None:
    checked = 0
    for path in sorted((shared / "corpus/ovf").rglob("*.ovf")):
        content = path.read_bytes()
        try:
            systems = read_envelope(content).systems
        except RegildError:
            continue
        if len(systems) != 1 or OVF_1.encode() not in content:
            continue
        if not schemas.validate(etree.fromstring(content)):
            continue
        described = insert_descriptor(content, rich_descriptor())
        assert schemas.validate(etree.fromstring(described)), (path, schemas.error_log)
        assert strip_descriptor(described) == content
        checked += 1
    assert checked > 50
