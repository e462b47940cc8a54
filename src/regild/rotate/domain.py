"""A libvirt domain for one instance, as XML; pure (https://libvirt.org/formatdomain.html).

What regild knows of an instance stands in the domain's own metadata, so that a lost catalogue loses
no instance, and others' domains are never taken for ours.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from regild.errors import GroupRefused
from regild.model.rotation import Group, StartOrder

NAMESPACE = "urn:regild:rotation:1"
PREFIX = "regild"
METADATA_LIMIT = 64 << 10
OPTIONS = {
    "uri": "qemu:///system",
    "folder": "",
    "memory": "1024",
    "cpus": "1",
    "accel": "auto",
    "network": "none",
    "kernel": "",
    "initrd": "",
    "cmdline": "",
    "seed": "none",
    "user_disk": "",
    "address": "",
    "sessions": "",
    "drain": "",
    "shutdown": "60",
}
"""What a group's [options] may say, and what holds where it does not."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What a domain's metadata say of it."""

    group: str
    generation: int
    digest: str
    owner: str = ""
    draining: bool = False

    def to_xml(self) -> str:
        """The element for the metadata, without a prefix, as libvirt wants it."""
        told = {"group": self.group, "generation": str(self.generation), "digest": self.digest}
        told |= {"owner": self.owner, "draining": "yes" if self.draining else "no"}
        return ET.tostring(ET.Element("instance", told), encoding="unicode")


def read_tag(text: str) -> Tag | None:
    """What metadata say; None where they are not regild's."""
    if len(text) > METADATA_LIMIT or "<!" in text:
        return None
    try:
        element = ET.fromstring(text)  # noqa: S314 - bounded, and without a DTD
        generation = int(element.get("generation", "0"))
    except (ET.ParseError, ValueError):
        return None
    return Tag(
        element.get("group", ""),
        generation,
        element.get("digest", ""),
        element.get("owner", ""),
        element.get("draining") == "yes",
    )


def options_of(group: Group) -> dict[str, str]:
    """A group's options with what holds for the rest.

    Raises: GroupRefused for one that the driver does not know, or a number that is none.
    """
    for name, value in group.options.items():
        if name not in OPTIONS:
            known = ", ".join(OPTIONS)
            raise GroupRefused(where=group.name, why=f"[options] {name}: there are {known}")
        if name in ("memory", "cpus", "shutdown") and not value.isdigit():
            raise GroupRefused(where=group.name, why=f"[options] {name}: {value!r} is no number")
    return {**OPTIONS, **group.options}


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one instance."""

    overlay: Path
    console: Path
    seed: Path | None = None
    user_disk: Path | None = None


def domain_xml(
    group: Group, order: StartOrder, places: Places, options: dict[str, str], kvm: bool
) -> str:
    """The domain of an instance: its overlay first, then its seed and its owner's disk; a serial
    console into a file; a channel for the guest's agent; no graphics."""
    root = ET.Element("domain", {"type": "kvm" if kvm else "qemu"})
    _text(root, "name", order.name)
    metadata = ET.SubElement(root, "metadata")
    tag = Tag(group.name, order.generation, order.digest, order.owner)
    element = ET.fromstring(tag.to_xml())  # noqa: S314 - made just now
    element.tag = f"{PREFIX}:instance"
    element.set(f"xmlns:{PREFIX}", NAMESPACE)
    metadata.append(element)
    _text(root, "memory", options["memory"], unit="MiB")
    _text(root, "vcpu", options["cpus"])
    ET.SubElement(root, "cpu", {"mode": "host-passthrough" if kvm else "maximum"})
    _boot(root, options)
    features = ET.SubElement(root, "features")
    ET.SubElement(features, "acpi")
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        _text(root, event, "restart" if event == "on_reboot" else "destroy")
    _devices(root, order, places, options)
    return ET.tostring(root, encoding="unicode")


def _boot(root: ET.Element, options: dict[str, str]) -> None:
    system = ET.SubElement(root, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    for name in ("kernel", "initrd", "cmdline"):
        if options[name]:
            _text(system, name, options[name])
    if not options["kernel"]:
        ET.SubElement(system, "boot", {"dev": "hd"})


def _devices(root: ET.Element, order: StartOrder, places: Places, options: dict[str, str]) -> None:
    devices = ET.SubElement(root, "devices")
    disk = _disk(devices, places.overlay, "qcow2", "vda")
    backing = ET.SubElement(disk, "backingStore", {"type": "file"})
    ET.SubElement(backing, "format", {"type": order.format})
    ET.SubElement(backing, "source", {"file": order.disk})
    ET.SubElement(backing, "backingStore")
    if places.seed:
        ET.SubElement(_disk(devices, places.seed, "raw", "vdb"), "readonly")
    if places.user_disk:
        _disk(devices, places.user_disk, "qcow2", "vdc")
    serial = ET.SubElement(devices, "serial", {"type": "file"})
    ET.SubElement(serial, "source", {"path": str(places.console)})
    channel = ET.SubElement(devices, "channel", {"type": "unix"})
    ET.SubElement(channel, "target", {"type": "virtio", "name": "org.qemu.guest_agent.0"})
    rng = ET.SubElement(devices, "rng", {"model": "virtio"})
    _text(rng, "backend", "/dev/urandom", model="random")
    if options["network"] == "user":
        card = ET.SubElement(devices, "interface", {"type": "user"})
        ET.SubElement(card, "model", {"type": "virtio"})
    elif options["network"] != "none":
        card = ET.SubElement(devices, "interface", {"type": "network"})
        ET.SubElement(card, "source", {"network": options["network"]})
        ET.SubElement(card, "model", {"type": "virtio"})


def _disk(devices: ET.Element, path: Path, form: str, name: str) -> ET.Element:
    disk = ET.SubElement(devices, "disk", {"type": "file", "device": "disk"})
    ET.SubElement(disk, "driver", {"name": "qemu", "type": form, "discard": "unmap"})
    ET.SubElement(disk, "source", {"file": str(path)})
    ET.SubElement(disk, "target", {"dev": name, "bus": "virtio"})
    return disk


def _text(parent: ET.Element, name: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, name, attributes).text = text
