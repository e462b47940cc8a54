"""The texts of an envelope in the language that it speaks: message bundles (DSP0243, 9.11 and 10).

A text may have a `msgid`, and then a bundle (`Strings`) in the envelope or in a file of References
holds it for each language; the text that stands there is what counts without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from regild.ovf import names
from regild.ovf.markup import Element, parse

MAX_BYTES: Final = 1 << 20
"""Of a bundle that is a file of its own."""


def read_messages(root: Element) -> Mapping[str, str]:
    """The texts of the bundles inside an envelope by their ids, in its own language."""
    found: dict[str, str] = {}
    for bundle in _spoken(root):
        found |= {key: text for key, text in _texts(bundle).items() if key not in found}
    return found


def bundle_files(root: Element) -> tuple[str, ...]:
    """The ids of the Files that hold bundles in the envelope's own language."""
    ovf = root.name[0]
    stated = (bundle.value("fileRef", ovf) for bundle in _spoken(root))
    return tuple(dict.fromkeys(file for file in stated if file))


def read_bundle(content: bytes, where: str) -> Mapping[str, str]:
    """The texts of a bundle that is a file of its own, by their ids.

    Raises: as `markup.parse`.
    """
    root = parse(content, where)
    bundles = [one for one in root.walk() if one.local == "Strings"]
    return _texts(bundles[0]) if bundles else {}


def text_of(element: Element | None, messages: Mapping[str, str]) -> tuple[str, str]:
    """The text of an element, and the id by which a bundle elsewhere may have a better one."""
    if element is None:
        return "", ""
    key = element.value("msgid", element.name[0])
    return messages.get(key, element.text.strip()), "" if key in messages else key


def _spoken(root: Element) -> Iterator[Element]:
    """The bundles that speak the envelope's language or none; else those of the first language."""
    bundles = list(root.all(root.name[0], "Strings"))
    own = _language(root)
    fitting = [one for one in bundles if _language(one) in ("", own)]
    if not fitting and bundles:
        fitting = [one for one in bundles if _language(one) == _language(bundles[0])]
    yield from fitting


def _language(element: Element) -> str:
    return element.attributes.get((names.XML, "lang"), "").lower()


def _texts(bundle: Element) -> dict[str, str]:
    ovf = bundle.name[0]
    return {
        one.value("msgid", one.name[0] or ovf): one.text.strip()
        for one in bundle.children
        if one.local == "Msg"
    }
