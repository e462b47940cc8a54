"""The virtual hardware that an envelope asks for, as far as a test boot can give it.

Source: DSP0243, 8 (VirtualHardwareSection); CIM_ResourceAllocationSettingData, ResourceType;
VMware's `Config` and VirtualBox's `Machine` extensions for the firmware.
"""

from __future__ import annotations

from collections.abc import Iterator

from regild.model.content import Value
from regild.model.health import Bus, Firmware, Nic
from regild.ovf.envelope import parse_envelope, section_kind, sections_of, system_of
from regild.ovf.markup import Element

_IDE, _SCSI, _ETHERNET, _DISK, _OTHER_STORAGE = "5", "6", "10", "17", "20"
_SCSI_KINDS: dict[str, Bus] = {
    "virtualscsi": "pvscsi",
    "lsilogicsas": "sas",
    "virtio": "virtio-scsi",
    "virtio-scsi": "virtio-scsi",
    "virtio_scsi": "virtio-scsi",
}
_CARDS: dict[str, Nic] = {
    "virtio": "virtio",
    "virtio-net": "virtio",
    "e1000": "e1000",
    "e1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "pcnet32": "pcnet",
    "am79c973": "pcnet",
}


class Hardware(Value, frozen=True):
    """What an envelope says of one system's hardware; None where it says nothing that is known."""

    firmware: Firmware | None = None
    bus: Bus | None = None
    nic: Nic | None = None


def read_hardware(content: bytes, system_id: str, where: str = "the .ovf") -> Hardware:
    """What an envelope says of a system's hardware.

    Raises: Malformed, TooLarge, UnsupportedFormat, Ambiguous, MissingFile.
    """
    system = system_of(parse_envelope(content, where), system_id or None, where)
    items = [dict(_fields(one)) for one in _items(system)]
    controllers = {one.get("InstanceID", ""): one for one in items}
    disks = [one for one in items if one.get("ResourceType") == _DISK]
    parent = controllers.get(disks[0].get("Parent", ""), {}) if disks else {}
    cards = [one for one in items if one.get("ResourceType") == _ETHERNET]
    card = _first_word(cards[0].get("ResourceSubType", "")) if cards else ""
    return Hardware(_firmware(system), _bus(parent), _CARDS.get(card))


def _bus(controller: dict[str, str]) -> Bus | None:
    kind = controller.get("ResourceType")
    detail = _first_word(controller.get("ResourceSubType", ""))
    if kind == _IDE:
        return "ide"
    if kind == _SCSI:
        return _SCSI_KINDS.get(detail, "lsi")
    if kind == _OTHER_STORAGE:
        return "sata" if "ahci" in detail else "virtio" if "virtio" in detail else None
    return None


def _firmware(system: Element) -> Firmware | None:
    """VMware's `Config` with the key `firmware`, or VirtualBox's `Firmware`."""
    for element in system.walk():
        found = ""
        if element.local == "Config" and _attribute(element, "key") == "firmware":
            found = _attribute(element, "value")
        elif element.local == "Firmware":
            found = _attribute(element, "type")
        if found:
            return "efi" if found.lower().startswith("efi") else "bios"
    return None


def _items(system: Element) -> Iterator[Element]:
    for section in sections_of(system):
        if section_kind(section)[1] == "VirtualHardwareSection":
            for element in section.children:
                if element.local in ("Item", "StorageItem", "EthernetPortItem"):
                    yield element


def _fields(item: Element) -> Iterator[tuple[str, str]]:
    for child in item.children:
        yield child.local.replace("InstanceId", "InstanceID"), child.text.strip()


def _attribute(element: Element, name: str) -> str:
    """An attribute by its local name, whatever its namespace."""
    for (_, local), value in element.attributes.items():
        if local == name:
            return value
    return ""


def _first_word(text: str) -> str:
    """Of several kinds that are as good, which a file may list, the first."""
    words = text.lower().replace(",", " ").split()
    return words[0] if words else ""
