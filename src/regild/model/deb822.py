"""Paragraphs of fields, as dpkg and apt keep them (deb822(5)), read as a stream within limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import NamedTuple

from regild.errors import Malformed, TooLarge

LINE_LIMIT = 1 << 20
"""The longest line of a real index (a Provides of a Rust package) stays under 100 kB."""

PARAGRAPH_LIMIT = 100_000
"""All of Debian has about 64,000 binary packages for one architecture."""


class Paragraph(NamedTuple):
    """One paragraph: the line it begins at and the wanted fields under their given spelling."""

    line: int
    fields: Mapping[str, str]
    """Continuation lines follow their field's first line after a newline, unchanged."""


def read_paragraphs(
    content: bytes, wanted: Iterable[str], where: str, comments: bool = False
) -> Iterator[Paragraph]:
    """The paragraphs of a file one by one, with the wanted fields only (spelt in any case).

    With `comments`, lines that begin with `#` are passed over.

    Raises: Malformed for a line that is neither field nor continuation, a field given twice or
    text that is not UTF-8; TooLarge for a line or a number of paragraphs over the limits.
    Everything before the damage has been given by then.
    """
    reading = _Reading(where, {name.lower().encode(): name for name in wanted})
    count = 0
    for number, line in enumerate(BytesIO(content), 1):
        if comments and line.startswith(b"#"):
            continue
        done = reading.take(number, line)
        if done is not None:
            count += 1
            if count > PARAGRAPH_LIMIT:
                raise TooLarge(where=where, why=f"it has more than {PARAGRAPH_LIMIT} paragraphs")
            yield done
    last = reading.finish()
    if last is not None:
        yield last


class _Reading:
    """The paragraph that is being read."""

    def __init__(self, where: str, wanted: dict[bytes, str]) -> None:
        self._where = where
        self._wanted = wanted
        self._spelt: dict[bytes, str | None] = {}
        self._begin = 0
        self._fields: dict[str, list[bytes]] = {}
        self._open: list[bytes] | None = None

    def take(self, number: int, line: bytes) -> Paragraph | None:
        """One more line; a paragraph when this line ends it.

        Raises: TooLarge for a line over `LINE_LIMIT` bytes.
        """
        if len(line) > LINE_LIMIT:
            raise TooLarge(where=self._where, why=f"line {number} is over {LINE_LIMIT} bytes")
        if line[0] in b" \t\r\n":
            if line.isspace():
                return self.finish()
            if not self._begin:
                raise self._malformed(number, "it continues no field")
            if self._open is not None:
                self._open.append(line)
            return None
        self._begin = self._begin or number
        name, colon, value = line.partition(b":")
        if not colon:
            raise self._malformed(number, "it has no colon")
        self._start(number, name, value)
        return None

    def _start(self, number: int, name: bytes, value: bytes) -> None:
        try:
            field = self._spelt[name]
        except KeyError:
            field = self._wanted.get(name.lower())
            if len(self._spelt) < 1000:
                self._spelt[name] = field
        if field is None:
            self._open = None
            return
        if field in self._fields:
            raise self._malformed(number, f"it gives {field} a second time")
        self._open = self._fields[field] = [value]

    def finish(self) -> Paragraph | None:
        """The paragraph so far, None where nothing has begun."""
        if not self._begin:
            return None
        try:
            fields = {name: b"".join(lines).decode() for name, lines in self._fields.items()}
        except UnicodeDecodeError as error:
            raise self._malformed(self._begin, "the paragraph there is not UTF-8") from error
        done = Paragraph(self._begin, {name: value.strip() for name, value in fields.items()})
        self._begin, self._fields, self._open = 0, {}, None
        return done

    def _malformed(self, number: int, why: str) -> Malformed:
        return Malformed(where=self._where, why=f"line {number}: {why}")


def folded(value: str) -> str:
    """A field's lines joined, with single spaces."""
    return " ".join(value.split())
