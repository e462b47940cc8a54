"""What an envelope says of hardware, as different producers write it."""

from __future__ import annotations

import pytest

from regild.ovf.hardware import Hardware, read_hardware

HEAD = (
    '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/'
    'ovf/envelope/1" xmlns:rasd="r" xmlns:vmw="http://www.vmware.com/schema/ovf" '
    'xmlns:vbox="http://www.virtualbox.org/ovf/machine"><References/>'
)


def item(kind: int, number: int, detail: str = "", parent: str = "") -> str:
    more = f"<rasd:ResourceSubType>{detail}</rasd:ResourceSubType>" if detail else ""
    more += f"<rasd:Parent>{parent}</rasd:Parent>" if parent else ""
    return (
        f"<Item><rasd:InstanceID>{number}</rasd:InstanceID>"
        f"<rasd:ResourceType>{kind}</rasd:ResourceType>{more}</Item>"
    )


def envelope(*items: str, more: str = "") -> bytes:
    hardware = f"<VirtualHardwareSection><Info/>{''.join(items)}</VirtualHardwareSection>"
    system = f'<VirtualSystem ovf:id="one"><Info/>{hardware}{more}</VirtualSystem>'
    return f"{HEAD}{system}</Envelope>".encode()


@pytest.mark.parametrize(
    ("controller", "bus"),
    [
        ((5, "PIIX4"), "ide"),
        ((6, "lsilogic"), "lsi"),
        ((6, "lsilogicsas"), "sas"),
        ((6, "VirtualSCSI"), "pvscsi"),
        ((6, "virtio-scsi"), "virtio-scsi"),
        ((20, "AHCI"), "sata"),
        ((20, "vmware.sata.ahci"), "sata"),
        ((20, "virtio"), "virtio"),
        ((20, "nvme"), None),
    ],
)
def test_the_bus_is_that_of_the_first_disks_controller(
    controller: tuple[int, str], bus: str | None
) -> None:
    items = item(5, 3, "other"), item(controller[0], 4, controller[1]), item(17, 5, parent="4")
    assert read_hardware(envelope(*items), "one").bus == bus


@pytest.mark.parametrize(
    ("detail", "nic"),
    [("E1000", "e1000"), ("VmxNet3", "vmxnet3"), ("PCNet32", "pcnet"), ("PCNet32 E1000", "pcnet"),
     ("virtio", "virtio"), ("exotic", None)],
)  # fmt: skip
def test_the_network_card_is_the_first_of_those_that_are_named(
    detail: str, nic: str | None
) -> None:
    assert read_hardware(envelope(item(10, 1, detail)), "one").nic == nic


@pytest.mark.parametrize(
    ("more", "firmware"),
    [
        ('<VirtualHardwareSection><Info/><vmw:Config ovf:required="false" vmw:key="firmware" '
         'vmw:value="efi"/></VirtualHardwareSection>', "efi"),
        ('<VirtualHardwareSection><Info/><vmw:Config vmw:key="firmware" vmw:value="bios"/>'
         "</VirtualHardwareSection>", "bios"),
        ('<vbox:Machine ovf:required="false"><Info/><Hardware><Firmware type="EFI"/></Hardware>'
         "</vbox:Machine>", "efi"),
        ("", None),
    ],
)  # fmt: skip
def test_the_firmware_is_read_where_producers_say_it(more: str, firmware: str | None) -> None:
    assert read_hardware(envelope(more=more), "one") == Hardware(firmware)  # type: ignore[arg-type]
