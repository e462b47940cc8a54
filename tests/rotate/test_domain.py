"""Domains as XML, what they say of themselves, and seeds: nothing here needs libvirt."""

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.errors import GroupRefused
from regild.model.rotation import Group, StartOrder
from regild.rotate.domain import NAMESPACE, Places, Tag, domain_xml, options_of, read_tag
from regild.rotate.seed import write_seed

GROUP = Group("web", "web", "production", "libvirt", 2)
ORDER = StartOrder("web-1", 7, "sha256:00", "/srv/web-7.qcow2", "qcow2", "anna <&> bob")
PLACES = Places(Path("/i/web-1.qcow2"), Path("/i/web-1.log"), Path("/i/seed"), Path("/i/anna"))


def drawn(**options: str) -> ET.Element:
    return ET.fromstring(domain_xml(GROUP, ORDER, PLACES, {**options_of(GROUP), **options}, False))


def test_formats_and_the_base_are_said_and_never_guessed() -> None:
    disk = drawn().find("devices/disk")
    assert disk is not None
    assert [one.get("type") for one in disk.iter("driver")] == ["qcow2"]
    base = disk.find("backingStore")
    assert base is not None
    assert base.find("format").get("type") == "qcow2"  # type: ignore[union-attr] - or the test fails
    assert base.find("source").get("file") == "/srv/web-7.qcow2"  # type: ignore[union-attr] - as above
    assert base.find("backingStore") is not None, "the chain ends there"


def test_what_a_domain_says_of_itself_is_read_back() -> None:
    element = drawn().find(f"metadata/{{{NAMESPACE}}}instance")
    assert element is not None
    told = read_tag(ET.tostring(element, encoding="unicode"))
    assert told == Tag("web", 7, "sha256:00", "anna <&> bob")


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"])), st.booleans())
def test_tags_survive_any_owner(owner: str, draining: bool) -> None:
    tag = Tag("web", 7, "sha256:00", owner, draining)
    assert read_tag(tag.to_xml()) == tag


@pytest.mark.parametrize("text", ["", "<a", "<!DOCTYPE a><a/>", "<a generation='x'/>", "<" * 99999])
def test_foreign_metadata_is_nobodys(text: str) -> None:
    assert read_tag(text) is None


def test_no_network_unless_the_group_says_so() -> None:
    assert drawn().find("devices/interface") is None
    assert drawn(network="default").find("devices/interface/source").get("network") == "default"  # type: ignore[union-attr] - or the test fails


def test_a_kernel_of_the_sites_own() -> None:
    found = drawn(kernel="/srv/vmlinuz", cmdline="quiet")
    assert found.findtext("os/kernel") == "/srv/vmlinuz"
    assert found.find("os/boot") is None


@pytest.mark.parametrize("options", [{"memroy": "1"}, {"memory": "lots"}])
def test_options_that_cannot_be_meant(options: dict[str, str]) -> None:
    group = Group("web", "web", "production", "libvirt", 2, options=options)
    with pytest.raises(GroupRefused, match=next(iter(options))):
        options_of(group)


def test_a_seed_is_a_volume_that_cloud_init_knows(tmp_path: Path) -> None:
    from pycdlib import PyCdlib

    write_seed(tmp_path / "seed", ORDER)
    volume = PyCdlib()
    volume.open(str(tmp_path / "seed"))
    assert volume.pvd.volume_identifier.strip() == b"CIDATA"
    content = io.BytesIO()
    volume.get_file_from_iso_fp(content, rr_path="/meta-data")
    assert b'"local-hostname": "web-1"' in content.getvalue()
    volume.close()
