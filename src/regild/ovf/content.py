"""The content descriptor in an envelope: read, put in, taken out.

One section per virtual system, the last of its children (docs/spec/content-descriptor.md, clause 7;
rules W1, R9). Taking it out gives back every byte that was there before (rule R8).
"""

from __future__ import annotations

from collections.abc import Iterator

from regild.errors import Ambiguous, Malformed
from regild.model.appliance import Descriptor
from regild.ovf import names
from regild.ovf.envelope import files_of, parse_envelope, system_of, systems_of
from regild.ovf.markup import Element, splice
from regild.ovf.rewrite import insertion, removal
from regild.ovf.section_reader import read_section
from regild.ovf.section_writer import write_section


def read_descriptor(
    content: bytes, system_id: str | None = None, where: str = "the .ovf"
) -> Descriptor | None:
    """Read the content descriptor of one virtual system; None where it has none.

    Without `system_id` the envelope must hold one system only.

    Raises: MissingFile, Ambiguous (two sections, or several systems), Malformed (also for a section
    that stands elsewhere), TooLarge, UnsupportedFormat, DigestMismatch when the section does not
    agree with itself.
    """
    root = parse_envelope(content, where)
    system = system_of(root, system_id, where)
    _check_places(root, where)
    found = list(system.all(names.CONTENT, names.SECTION))
    if len(found) > 1:
        raise Ambiguous(where=where, why=f"{len(found)} content descriptors speak of one system")
    return read_section(found[0], where) if found else None


def insert_descriptor(
    content: bytes,
    descriptor: Descriptor,
    system_id: str | None = None,
    where: str = "the .ovf",
) -> bytes:
    """Write a descriptor into its virtual system, in place of the one that may be there.

    Raises: MissingFile, Ambiguous, Malformed, TooLarge, UnsupportedFormat.
    """
    root = parse_envelope(content, where)
    before = list(system_of(root, system_id, where).all(names.CONTENT, names.SECTION))
    content = splice(content, [edit for section in before for edit in removal(content, section)])
    root = parse_envelope(content, where)
    system = system_of(root, system_id, where)
    section = _indented(write_section(descriptor, root.name[0]), content[: system.close])
    return splice(content, insertion(content, system, section))


def strip_descriptor(content: bytes, where: str = "the .ovf") -> bytes:
    """Take every content descriptor out of an envelope, and the File of an embedded bill of
    materials with it.

    Raises: Malformed, TooLarge, UnsupportedFormat.
    """
    root = parse_envelope(content, where)
    ours = list(_sections(root))
    ours += [f for f in files_of(root) if f.value("id", root.name[0]) == names.BOM_FILE_ID]
    return splice(content, [edit for element in ours for edit in removal(content, element)])


def _indented(section: bytes, before: bytes) -> bytes:
    """The section with its lines moved in as far as the end tag that will follow it."""
    line = before[before.rfind(b"\n") + 1 :]
    return section.replace(b"\n", b"\n" + line) if not line.strip(b" \t") else section


def _sections(root: Element) -> Iterator[Element]:
    """Our sections anywhere below an element, but not those inside another one of ours."""
    waiting = list(reversed(root.children))
    while waiting:
        element = waiting.pop()
        if element.name == (names.CONTENT, names.SECTION):
            yield element
        else:
            waiting.extend(reversed(element.children))


def _check_places(root: Element, where: str) -> None:
    systems = set(map(id, systems_of(root)))
    if any(id(section.parent) not in systems for section in _sections(root)):
        raise Malformed(where=where, why="a content descriptor stands outside a virtual system")
