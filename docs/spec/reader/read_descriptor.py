#!/usr/bin/env python3
"""Print what the content descriptors of an OVF or OVA say. Standard library only.

Written from docs/spec/content-descriptor.md alone, as a proof that the text is enough; it shares no
code with regild. Usage: read_descriptor.py [--json] FILE
"""

import base64
import hashlib
import json
import re
import sys
import tarfile
import zlib
from urllib.parse import quote
from xml.etree import ElementTree

RG = "{urn:regild:ovf:content:1}"
MAX_ENVELOPE = 16 << 20
MAX_PLANNING = 64 << 20
GROUP = re.compile(r"\\u((?!d[89a-f])[0-9a-f]{4})")


class Refused(Exception):
    """The file does not follow the specification."""


def envelope_of(path):
    """The bytes of the .ovf, from an OVA (clause 7.1) or a file."""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isfile() and "/" not in name and name.endswith(".ovf"):
                    if member.size > MAX_ENVELOPE:
                        raise Refused("the .ovf is too large")
                    return archive.extractfile(member).read()
        raise Refused("the archive holds no .ovf")
    except tarfile.ReadError:
        with open(path, "rb") as file:
            content = file.read(MAX_ENVELOPE + 1)
        if len(content) > MAX_ENVELOPE:
            raise Refused("the file is too large") from None
        return content


def parse(content):
    """The envelope's root; documents with a DTD are refused (clause 14)."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"<!DOCTYPE" in content:
        raise Refused("a DTD, or an encoding that is not like ASCII")
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Refused(f"no XML: {error}") from error


def systems_of(root):
    """Every virtual system, also those of the drafts (clause 7.2): id and element."""
    ovf = root.tag.rpartition("}")[0] + "}"
    for element in root.iter():
        kind = element.tag.rpartition("}")[2]
        if kind == "Content":
            typed = [value for name, value in element.attrib.items() if name.endswith("}type")]
            kind = (typed or [""])[0].rpartition(":")[2].removesuffix("_Type")
        if kind == "VirtualSystem":
            yield element.get(f"{ovf}id", element.get("id", "")), element


def text(element, name, default=""):
    """A string, with the letters that XML cannot hold (clause 6.1)."""
    value = element.get(name) if element is not None else None
    return default if value is None else GROUP.sub(lambda m: chr(int(m[1], 16)), value)


def words(element, name):
    """A list of strings (clause 6.2)."""
    value = element.get(name, "") if element is not None else ""
    listed = [word for word in re.split("[ \t\r\n]", value) if word]
    return [GROUP.sub(lambda m: chr(int(m[1], 16)), word) for word in listed]


def truth(element, name, default=False):
    """A truth value (clause 6.3)."""
    value = element.get(name)
    if value in (None, ""):
        return default
    if value not in ("true", "false", "1", "0"):
        raise Refused(f"{name} is {value!r}")
    return value in ("true", "1")


def number(element, name):
    """A number (clause 6.3)."""
    value = element.get(name, "0") if element is not None else "0"
    if not re.fullmatch("[0-9]{1,18}", value):
        raise Refused(f"{name} is {value!r}")
    return int(value)


def check_rows(group, elements):
    """The count and the state of a package list (clause 8.3)."""
    rows = sorted(
        b"".join(f"{key}\0{e.attrib[key]}\0".encode() for key in sorted(e.attrib)) + b"\n"
        for e in elements
    )
    state = "sha256:" + hashlib.sha256(b"".join(rows)).hexdigest()
    if number(group, "count") != len(elements) or group.get("state") != state:
        raise Refused("a package list is not the one that its state names")


def packages_of(section):
    """All packages in their order (clause 8)."""
    for group in section.findall(RG + "Packages"):
        elements = group.findall(RG + "Package")
        check_rows(group, elements)
        for element in elements:
            name, version, arch = (text(element, key) for key in ("name", "version", "arch"))
            purl = text(group, "purl")
            for word, value in (("{name}", name), ("{version}", version), ("{arch}", arch)):
                purl = purl.replace(word, quote(value, safe=":~"))
            yield {
                "type": text(group, "type"),
                "name": name,
                "version": version,
                "arch": arch,
                "source": text(element, "source", name),
                "source_version": text(element, "sourceVersion", version),
                "purl": text(element, "purl", purl),
                "state": text(element, "state", "installed"),
                "hold": truth(element, "hold"),
                "auto": truth(element, "auto"),
                "where": text(element, "where", text(group, "where")),
            }


def planning_of(section):
    """The planning state (clause 9)."""
    element = section.find(RG + "PlanningState")
    if element is None:
        return None
    if element.get("encoding") != "gzip+base64":
        raise Refused("an unknown encoding of the planning state")
    try:
        packed = base64.b64decode("".join((element.text or "").split()), validate=True)
        unpacker = zlib.decompressobj(31)
        plain = unpacker.decompress(packed, MAX_PLANNING + 1)
    except (ValueError, zlib.error) as error:
        raise Refused("the planning state is damaged") from error
    if len(plain) > MAX_PLANNING or not unpacker.eof or unpacker.unused_data:
        raise Refused("the planning state is not one bounded gzip member")
    if "sha256:" + hashlib.sha256(plain).hexdigest() != element.get("digest"):
        raise Refused("the planning state is not the one that its digest names")
    try:
        return json.loads(plain)
    except (ValueError, RecursionError) as error:
        raise Refused("the planning state is no JSON") from error


def read(section):
    """One section as plain values (clauses 7 to 12)."""
    if not re.fullmatch(r"1\.[0-9]{1,3}", section.get("schemaVersion", "")):
        raise Refused("not a version that this reader knows")
    for name in ("Image", "Platform", "PlanningState", "Bom", "Receipt", "Maintenance"):
        if len(section.findall(RG + name)) > 1:
            raise Refused(f"{name} stands there twice")
    platform = section.find(RG + "Platform")
    return {
        "platform": {
            "family": text(platform, "family"),
            "id": text(platform, "distro"),
            "version": text(platform, "release"),
            "codename": text(platform, "codename"),
            "name": text(platform, "name"),
            "arch": text(platform, "arch"),
            "kernels": words(platform, "kernels"),
            "edition": text(platform, "edition"),
            "build": text(platform, "build"),
            "ubr": number(platform, "ubr"),
        },
        "packages": list(packages_of(section)),
        "sources": [
            {
                "type": text(one, "type"),
                "uri": text(one, "uri"),
                "suite": text(one, "suite"),
                "components": words(one, "components"),
                "architectures": words(one, "architectures"),
                "signed_by": words(one, "signedBy"),
                "enabled": truth(one, "enabled", True),
                "trusted": truth(one, "trusted"),
                "options": words(one, "options"),
                "where": text(one, "where"),
            }
            for one in section.findall(RG + "Source")
        ],
        "applications": [
            {key: text(one, key) for key in ("name", "version", "where", "recipe")}
            for one in section.findall(RG + "Application")
        ],
        "unknowns": [
            {"where": text(one, "where"), "why": text(one, "why")}
            for one in section.findall(RG + "Unknown")
        ],
        "planning": planning_of(section),
        "bindings": [dict(one.attrib) for one in section.findall(RG + "Binding")],
        "witnesses": [
            {
                "volume": text(one, "volume"),
                "path": text(one, "path"),
                "digest": text(one, "digest"),
                "bytes": number(one, "bytes"),
            }
            for one in section.findall(RG + "Witness")
        ],
    }


def read_file(path):
    """What each described virtual system of a package holds, by the system's id."""
    found = {}
    for name, system in systems_of(parse(envelope_of(path))):
        sections = system.findall(RG + "ContentDescriptorSection")
        if len(sections) > 1:
            raise Refused("two descriptors speak of one system")
        if sections:
            found[name] = read(sections[0])
    return found


def main(arguments):
    """Print the list, or everything as JSON."""
    try:
        found = read_file(arguments[-1])
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 4
    if "--json" in arguments:
        json.dump(found, sys.stdout, indent=2)
        return 0
    for name, content in found.items():
        platform = content["platform"]["name"] or "unknown system"
        print(f"{name}: {platform}, {len(content['packages'])} packages")
        for package in content["packages"]:
            print(f"  {package['name']} {package['version']} {package['arch']}".rstrip())
        for unknown in content["unknowns"]:
            print(f"  unknown: {unknown['where']}: {unknown['why']}")
    return 0 if found else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
