"""Edits of an .ovf file that keep every other byte as it was (rules R8, W3, W7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from regild.errors import Ambiguous, MissingFile
from regild.ovf import names
from regild.ovf.envelope import disks_of, files_of, parse_envelope, unit_bytes
from regild.ovf.markup import (
    Edit,
    Element,
    drop_attribute,
    end_of,
    escape,
    set_attribute,
    splice,
    start_tag,
)

EMPTY_MARK: Final = b"<?regild empty?>"
"""Stands behind what was put into an element that was written as an empty one."""


PACKED: Final = ("compression", "chunkSize")
"""What says of a File that it is stored otherwise than as it is (DSP0243, 7.1)."""


class DiskPatch(NamedTuple):
    """What changes in a `Disk` element: None leaves an attribute as it is."""

    populated_bytes: int | None = None
    capacity_bytes: int | None = None
    format: str | None = None


def patch_sizes(
    content: bytes,
    files: Mapping[str, int],
    disks: Mapping[str, DiskPatch] | None = None,
    where: str = "the .ovf",
    hrefs: Mapping[str, str] | None = None,
) -> bytes:
    """Bring `size` of Files and the sizes of Disks up to date, where they are stated (rule W7).

    Keys are the ids of the elements. Attributes that a package does not have are not added;
    `hrefs` gives Files another name. Files that are new are stored as they are, in one piece.

    Raises: Malformed, TooLarge, UnsupportedFormat, UnsafeName.
    """
    root = parse_envelope(content, where)
    ovf = root.name[0]
    edits: list[Edit | None] = []
    for element in files_of(root):
        file_id = element.value("id", ovf)
        if file_id in files:
            edits.append(set_attribute(content, element, ovf, "size", str(files[file_id])))
            edits += [drop_attribute(content, element, ovf, name) for name in PACKED]
        if file_id in (hrefs or {}):
            href = names.check_name((hrefs or {})[file_id], where)
            edits.append(set_attribute(content, element, ovf, "href", href))
    for element in disks_of(root):
        patch = (disks or {}).get(element.value("diskId", ovf))
        if patch is not None:
            edits.extend(_patch_disk(content, element, ovf, patch))
    return splice(content, [edit for edit in edits if edit is not None])


def add_file(content: bytes, file_id: str, href: str, size: int, where: str = "the .ovf") -> bytes:
    """Add a File after all others, in the manner of the last one (rule W3).

    Raises: Malformed, Ambiguous when the id or href is taken, MissingFile without References,
    UnsafeName.
    """
    names.check_written_name(href, where)
    root = parse_envelope(content, where)
    ovf = root.name[0]
    references = root.first(ovf, "References")
    if references is None:
        raise MissingFile(where=f"References in {where}", why="a File cannot be added")
    for element in files_of(root):
        if element.value("id", ovf) == file_id or element.value("href", ovf) == href:
            raise Ambiguous(where=where, why=f"it has a File {file_id} or {href} already")
    element_bytes = b'<ovf:File xmlns:ovf="%s" ovf:id="%s" ovf:href="%s" ovf:size="%d"/>' % (
        ovf.encode(),
        escape(file_id),
        escape(href),
        size,
    )
    return splice(content, insertion(content, references, element_bytes))


def remove_file(content: bytes, file_id: str, where: str = "the .ovf") -> bytes:
    """Take out a File that `add_file` put in; without one, the bytes stay as they are.

    Raises: Malformed, TooLarge, UnsupportedFormat.
    """
    root = parse_envelope(content, where)
    found = [file for file in files_of(root) if file.value("id", root.name[0]) == file_id]
    return splice(content, [edit for file in found for edit in removal(content, file)])


def insertion(content: bytes, parent: Element, text: bytes) -> list[Edit]:
    """The edits that make `text` the last child of an element.

    The white space before the end tag is repeated behind the new child, so that `removal` can tell
    which of it is new.
    """
    tag = start_tag(content, parent)
    if tag.empty:
        closing = b"</" + tag.name + b">"
        return [Edit(tag.end - 2, tag.end, b">" + text + EMPTY_MARK + closing)]
    gap = _gap_before(content, parent.close, tag.end)
    return [Edit(parent.close, parent.close, text + gap)]


def removal(content: bytes, child: Element) -> list[Edit]:
    """The edits that undo `insertion` exactly."""
    parent = child.parent
    assert parent is not None, "the root element cannot be removed"  # noqa: S101 - for the types
    tag = start_tag(content, parent)
    end = end_of(content, child)
    marked = content.startswith(EMPTY_MARK, end) and parent.close == end + len(EMPTY_MARK)
    if marked and child.start == tag.end:
        return [Edit(tag.end - 1, end_of(content, parent), b"/>")]
    gap = _gap_before(content, child.start, tag.end)
    behind = content[end : end + len(gap)]
    return [Edit(child.start, end + (len(gap) if behind == gap else 0), b"")]


def _gap_before(content: bytes, at: int, limit: int) -> bytes:
    """The white space that ends at an offset."""
    head = content[limit:at]
    return head[len(head.rstrip(b" \t\r\n")) :]


def _patch_disk(
    content: bytes, element: Element, ovf: str, patch: DiskPatch
) -> Iterator[Edit | None]:
    if patch.populated_bytes is not None:
        populated = str(patch.populated_bytes)
        yield set_attribute(content, element, ovf, "populatedSize", populated)
    if patch.format is not None:
        yield set_attribute(content, element, ovf, "format", patch.format)
    if patch.capacity_bytes is not None:
        unit = unit_bytes(element.value("capacityAllocationUnits", ovf)) or 0
        whole = unit and patch.capacity_bytes % unit == 0
        shown = patch.capacity_bytes // unit if whole else patch.capacity_bytes
        yield set_attribute(content, element, ovf, "capacity", str(shown))
        if not whole:
            yield set_attribute(content, element, ovf, "capacityAllocationUnits", "byte")
