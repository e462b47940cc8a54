"""XML from strangers as a bounded tree whose elements know the bytes that they stand for.

Reads with expat: no DTD, no entities, no network, and limits on size, depth, elements and
attributes (rule R1). Because every element knows its place, a document is edited by splicing bytes,
and everything that regild does not understand stays as it was (rule R8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, NoReturn
from xml.parsers import expat

from regild.errors import Malformed, TooLarge, UnsupportedFormat

MAX_BYTES: Final = 16 << 20
"""Four times the largest descriptor that was found in the field (4 MB)."""
MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 200_000
MAX_ATTRIBUTES: Final = 128
MAX_ATTRIBUTE_LETTERS: Final = 256 << 10
"""The longest one in the field holds 21,567 letters."""

_SEPARATOR: Final = "\x1f"
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00<", b"<\x00", b"\x00\x00")
_TAG = re.compile(rb"<([^\s/>]+)((?:[^\"'>]|\"[^\"]*\"|'[^']*')*?)(/?)>", re.DOTALL)
_ATTRIBUTE = re.compile(rb"([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.DOTALL)


class Edit(NamedTuple):
    """Bytes `start` to `end` of a document become `text`."""

    start: int
    end: int
    text: bytes


class Element:
    """One element: its names, attributes, children, text, and the offsets of its tags.

    `name` is (namespace, local name); `attributes` is keyed the same way, with an empty namespace
    for an unqualified attribute. `start` and `close` are the offsets of the start tag and of the
    end tag (of the end of the tag, where the element is written as an empty one).
    """

    __slots__ = ("attributes", "children", "close", "name", "parent", "start", "text")

    def __init__(
        self,
        name: tuple[str, str],
        attributes: dict[tuple[str, str], str],
        start: int,
        parent: Element | None,
    ) -> None:
        self.name = name
        self.attributes = attributes
        self.start = start
        self.close = start
        self.parent = parent
        self.children: list[Element] = []
        self.text = ""

    @property
    def local(self) -> str:
        """The local name."""
        return self.name[1]

    def value(self, name: str, namespace: str = "", default: str = "") -> str:
        """An attribute in the given namespace or without one (rule R2)."""
        found = self.attributes.get((namespace, name))
        return self.attributes.get(("", name), default) if found is None else found

    def all(self, namespace: str, local: str) -> Iterator[Element]:
        """The children of one name, in order."""
        return (child for child in self.children if child.name == (namespace, local))

    def first(self, namespace: str, local: str) -> Element | None:
        """The first child of one name, if there is one."""
        return next(self.all(namespace, local), None)

    def walk(self) -> Iterator[Element]:
        """This element and all below it, in document order."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(element.children))


class StartTag(NamedTuple):
    """A start tag as it stands in the bytes."""

    name: bytes
    """With its prefix."""
    end: int
    """Offset behind the closing bracket."""
    empty: bool
    """It closes itself."""
    attributes: tuple[tuple[bytes, int, int], ...]
    """Raw name, and the offsets of the value between its quotes."""


def parse(content: bytes, where: str) -> Element:
    """Read an XML document within the limits and return its root element.

    Raises: TooLarge, Malformed (also for a DTD), UnsupportedFormat for UTF-16 and UTF-32.
    """
    if len(content) > MAX_BYTES:
        raise TooLarge(where=where, why=f"{len(content)} bytes of XML, {MAX_BYTES} are accepted")
    if content[:2] in _WIDE:
        raise UnsupportedFormat(where=where, why="its text is not UTF-8")
    builder = _Builder(where)
    try:
        builder.parser.Parse(content, True)
    except expat.ExpatError as error:
        raise Malformed(where=where, why=f"it is not well-formed XML: {error}") from error
    except (ValueError, LookupError) as error:
        raise UnsupportedFormat(where=where, why=f"its encoding is unknown: {error}") from error
    if builder.root is None:
        raise Malformed(where=where, why="it holds no element")
    return builder.root


class _Builder:
    """Gathers expat's events into elements and stops at the first limit that is passed."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.root: Element | None = None
        self.open: list[Element] = []
        self.texts: list[list[str]] = []
        self.count = 0
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self.refuse_dtd
        parser.EntityDeclHandler = self.refuse_dtd
        parser.StartElementHandler = self.begin
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.letters
        self.parser = parser

    def refuse_dtd(self, *_: object) -> NoReturn:
        raise Malformed(where=self.where, why="it declares a DTD or entities, which are refused")

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Note that an element begins."""
        self.count += 1
        if self.count > MAX_ELEMENTS:
            raise TooLarge(where=self.where, why=f"more than {MAX_ELEMENTS} elements")
        if len(self.open) >= MAX_DEPTH:
            raise TooLarge(where=self.where, why=f"elements nest deeper than {MAX_DEPTH}")
        if len(attributes) > MAX_ATTRIBUTES:
            raise TooLarge(where=self.where, why=f"an element with {len(attributes)} attributes")
        if any(len(value) > MAX_ATTRIBUTE_LETTERS for value in attributes.values()):
            raise TooLarge(where=self.where, why="an attribute is too long")
        parent = self.open[-1] if self.open else None
        element = Element(
            _split(name),
            {_split(key): value for key, value in attributes.items()},
            self.parser.CurrentByteIndex,
            parent,
        )
        if parent is None:
            self.root = element
        else:
            parent.children.append(element)
        self.open.append(element)
        self.texts.append([])

    def end(self, _: str) -> None:
        """Note that the innermost element ends."""
        element = self.open.pop()
        element.close = self.parser.CurrentByteIndex
        element.text = "".join(self.texts.pop())

    def letters(self, text: str) -> None:
        if self.texts:
            self.texts[-1].append(text)


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition(_SEPARATOR)
    return namespace, local


def start_tag(content: bytes, element: Element) -> StartTag:
    """Read an element's start tag again, as bytes.

    Raises: Malformed when the bytes there are no start tag, which a well-formed document excludes.
    """
    match = _TAG.match(content, element.start)
    if match is None:
        raise Malformed(where="XML", why=f"no start tag at byte {element.start}")
    attributes = tuple(
        (found[1], *found.span(2 if found[2] is not None else 3))
        for found in _ATTRIBUTE.finditer(content, match.end(1), match.end(2))
    )
    return StartTag(match[1], match.end(), match[3] == b"/", attributes)


def end_of(content: bytes, element: Element) -> int:
    """The offset behind an element's last byte."""
    tag = start_tag(content, element)
    return tag.end if tag.empty else content.index(b">", element.close) + 1


def namespace_of(content: bytes, element: Element, prefix: str) -> str:
    """The namespace that a prefix (empty: the default one) stands for inside an element."""
    wanted = f"xmlns:{prefix}".encode() if prefix else b"xmlns"
    here: Element | None = element
    while here is not None:
        for name, start, end in start_tag(content, here).attributes:
            if name == wanted:
                return content[start:end].decode(errors="replace")
        here = here.parent
    return ""


def set_attribute(
    content: bytes, element: Element, namespace: str, name: str, value: str
) -> Edit | None:
    """The edit that gives an attribute a new value; None where the element does not have it.

    The attribute in the namespace comes before the unqualified one, as in `Element.value`.
    """
    found = _attribute(content, element, namespace, name)
    return Edit(found[1], found[2], escape(value)) if found else None


def drop_attribute(content: bytes, element: Element, namespace: str, name: str) -> Edit | None:
    """The edit that takes an attribute away; None where the element does not have it."""
    found = _attribute(content, element, namespace, name)
    if found is None:
        return None
    raw, start, end = found
    begin = content.rindex(raw, 0, start)
    while content[begin - 1 : begin].isspace():
        begin -= 1
    return Edit(begin, end + 1, b"")  # with the quote behind it


def _attribute(
    content: bytes, element: Element, namespace: str, name: str
) -> tuple[bytes, int, int] | None:
    """An attribute's name as it is written, and where its value begins and ends."""
    unqualified = None
    for raw, start, end in start_tag(content, element).attributes:
        prefix, colon, local = raw.decode(errors="replace").rpartition(":")
        if local != name:
            continue
        if colon and namespace_of(content, element, prefix) == namespace:
            return raw, start, end
        if not colon:
            unqualified = raw, start, end
    return unqualified


def splice(content: bytes, edits: Iterable[Edit]) -> bytes:
    """The document with some stretches of bytes replaced.

    Raises: Malformed where two stretches overlap.
    """
    pieces = []
    at = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < at:
            raise Malformed(where="XML", why=f"two edits meet at byte {edit.start}")
        pieces += [content[at : edit.start], edit.text]
        at = edit.end
    return b"".join([*pieces, content[at:]])


_SPECIAL = re.compile(r"[&<>\"\t\n\r]|[^\x20-\x7e]")
_NAMED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> bytes:
    """Text as attribute value or element content in ASCII, right in every encoding that expat
    reads."""

    def reference(match: re.Match[str]) -> str:
        return _NAMED.get(match[0]) or f"&#{ord(match[0])};"

    return _SPECIAL.sub(reference, text).encode("ascii")
