from __future__ import annotations

from pathlib import Path

import pytest

from regild.errors import UnsafeName
from regild.ovf import template
from regild.ovf.envelope import read_envelope
from regild.ovf.template import write_envelope


@pytest.mark.parametrize("disk_format", list(template.FORMATS))
def test_a_new_envelope_names_its_disk(disk_format: str) -> None:
    found = read_envelope(write_envelope("golden", "golden.img", 5, 1 << 31, disk_format))
    assert found.version == "1"
    assert found.files[0].href == "golden.img"
    assert found.disks[0].capacity_bytes == 1 << 31
    assert found.systems[0].disks == (found.disks[0].id,)
    assert found.requires == ()


def test_a_new_envelope_is_valid(shared: Path) -> None:
    etree = pytest.importorskip("lxml.etree")
    folder = shared / "corpus/xsd/vatesfr__xen-orchestra/packages/xo-vmdk-to-vhd/src/ova-schema"
    schema = etree.XMLSchema(etree.parse(str(folder / "dsp8023_1.1.1.xsd")))
    document = etree.fromstring(write_envelope("a<b", "golden.img", 5, 1 << 31, "raw"))
    assert schema.validate(document), schema.error_log


def test_a_disk_name_stays_in_its_folder() -> None:
    for name in ("../x.img", "a/../x", "\udc80.img", "a\nb"):
        with pytest.raises(UnsafeName):
            write_envelope("x", name, 1, 1, "raw")
