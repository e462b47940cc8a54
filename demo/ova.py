"""Wraps a raw disk as an OVA: streamOptimized VMDK, OVF 1.1 envelope, manifest, USTAR."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from demo.recipe import Recipe
from regild.host.files import digest_file
from regild.host.run import run
from regild.model.digest import hex_of, sha256_of

ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
    xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>
    <File ovf:href="{disk}" ovf:id="file1" ovf:size="{file_bytes}"/>
  </References>
  <DiskSection>
    <Info>Virtual disk information</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1"
        ovf:fileRef="file1"
        ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>The list of logical networks</Info>
    <Network ovf:name="VM Network">
      <Description>The network that the appliance is attached to</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="96">
      <Info>The kind of installed guest operating system</Info>
      <Description>Debian GNU/Linux 12 (64-bit)</Description>
    </OperatingSystemSection>
    <ProductSection>
      <Info>{title}</Info>
      <Product>{name}</Product>
      <Vendor>regild's demo</Vendor>
      <Version>1</Version>
    </ProductSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:Description>Number of virtual CPUs</rasd:Description>
        <rasd:ElementName>1 virtual CPU</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>1</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:Description>Memory size</rasd:Description>
        <rasd:ElementName>1024 MB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>1024</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:Description>SCSI controller</rasd:Description>
        <rasd:ElementName>SCSI controller 0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Hard disk 1</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>7</rasd:AddressOnParent>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>VM Network</rasd:Connection>
        <rasd:ElementName>Network adapter 1</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>E1000</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""


def write_ova(recipe: Recipe, raw: Path, ova: Path, epoch: int) -> None:
    """Write the OVA of a raw disk: descriptor first, then manifest, then disk (DSP0243, 5.3)."""
    name = f"regild-{recipe.name}"
    disk = ova.with_name(f"{name}-disk1.vmdk")
    _compress(raw, disk)
    envelope = ENVELOPE.format(
        name=name,
        title=recipe.title,
        disk=disk.name,
        file_bytes=disk.stat().st_size,
        capacity=recipe.disk_bytes,
    ).encode()
    manifest = (
        f"SHA256({name}.ovf)= {hex_of(sha256_of(envelope))}\n"
        f"SHA256({disk.name})= {hex_of(digest_file(disk))}\n"
    ).encode()
    with tarfile.open(ova, "w", format=tarfile.USTAR_FORMAT) as archive:
        for member, content in ((f"{name}.ovf", envelope), (f"{name}.mf", manifest)):
            archive.addfile(_entry(member, len(content), epoch), io.BytesIO(content))
        with disk.open("rb") as file:
            archive.addfile(_entry(disk.name, disk.stat().st_size, epoch), file)
    disk.unlink()


def _compress(raw: Path, vmdk: Path) -> None:
    """By another's hand on purpose: regild must read what the world writes, not only its own."""
    options = "subformat=streamOptimized,adapter_type=lsilogic"
    run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", options, raw, vmdk],
        purpose="to write the appliance's disk as a VMDK",
    )


def _entry(name: str, size: int, epoch: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, epoch, 0o644
    return entry
