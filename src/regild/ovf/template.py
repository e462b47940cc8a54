"""A new envelope around a bare disk: one virtual system with plain hardware (DSP0243, 1.x).

The hardware is a proposal that any consumer can start from; regild itself reads only which disk
belongs to which system.
"""

from __future__ import annotations

from typing import Final

from regild.ovf import names
from regild.ovf.markup import escape

RASD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"

FORMATS: Final = {
    "vmdk-stream": "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
    "vmdk-sparse": "http://www.vmware.com/interfaces/specifications/vmdk.html#sparse",
    "qcow2": "http://www.gnome.org/~markmc/qcow-image-format.html",
    "raw": "http://en.wikipedia.org/wiki/Byte",
    "vhd": "http://go.microsoft.com/fwlink/?LinkId=137171",
    "vhdx": "https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx",
}
"""The `format` of a Disk for each disk format that regild writes, as VMware and oVirt spell it."""

FILE_ID: Final = "file1"
DISK_ID: Final = "vmdisk1"

_ITEMS: Final = (
    {
        "ElementName": "1 virtual CPU",
        "InstanceID": "1",
        "ResourceType": "3",
        "VirtualQuantity": "1",
    },
    {
        "AllocationUnits": "byte * 2^20",
        "ElementName": "1024 MB of memory",
        "InstanceID": "2",
        "ResourceType": "4",
        "VirtualQuantity": "1024",
    },
    {
        "Address": "0",
        "ElementName": "SCSI controller 0",
        "InstanceID": "3",
        "ResourceSubType": "lsilogic",
        "ResourceType": "6",
    },
    {
        "AddressOnParent": "0",
        "ElementName": "disk 1",
        "HostResource": f"ovf:/disk/{DISK_ID}",
        "InstanceID": "4",
        "Parent": "3",
        "ResourceType": "17",
    },
)
"""CIM's resource types: 3 processor, 4 memory, 6 parallel SCSI controller, 17 disk drive."""


def write_envelope(
    name: str, href: str, stored_bytes: int, virtual_bytes: int, disk_format: str
) -> bytes:
    """The .ovf of one virtual system with one disk; `disk_format` is a key of `FORMATS`.

    Raises: UnsafeName when the disk's file name leads elsewhere or is no text.
    """
    names.check_name(href, name)
    shown = escape(name)
    items = b"\n".join(_item(item) for item in _ITEMS)
    return b"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="%(ovf)s" xmlns:ovf="%(ovf)s" xmlns:rasd="%(rasd)s" xmlns:vssd="%(vssd)s">
  <References>
    <File ovf:href="%(href)s" ovf:id="%(file)s" ovf:size="%(size)d"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="%(capacity)d" ovf:capacityAllocationUnits="byte" ovf:diskId="%(disk)s" \
ovf:fileRef="%(file)s" ovf:format="%(format)s"/>
  </DiskSection>
  <VirtualSystem ovf:id="%(name)s">
    <Info>A virtual machine</Info>
    <Name>%(name)s</Name>
    <OperatingSystemSection ovf:id="101">
      <Info>The guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual hardware family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>%(name)s</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>
      </System>
%(items)s
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
""" % {
        b"ovf": names.OVF_1.encode(),
        b"rasd": RASD.encode(),
        b"vssd": VSSD.encode(),
        b"href": escape(href),
        b"file": FILE_ID.encode(),
        b"disk": DISK_ID.encode(),
        b"size": stored_bytes,
        b"capacity": virtual_bytes,
        b"format": FORMATS[disk_format].encode(),
        b"name": shown,
        b"items": items,
    }


def _item(properties: dict[str, str]) -> bytes:
    lines = [
        f"        <rasd:{key}>".encode() + escape(value) + f"</rasd:{key}>".encode()
        for key, value in sorted(properties.items())
    ]
    return b"\n".join((b"      <Item>", *lines, b"      </Item>"))
