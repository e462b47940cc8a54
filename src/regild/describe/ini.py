"""Settings in sections, as the tools around rpm write them (dnf.conf(5), zypper(8), "Repository
definition files")."""

from __future__ import annotations

import re

from regild.errors import Malformed, TooLarge

LINES_LIMIT = 20_000
VALUE_LIMIT = 64 << 10

_SECTION = re.compile(r"\[([^\[\]]+)\]\s*([#;].*)?")

Sections = dict[str, dict[str, str]]


def read_sections(content: bytes, where: str) -> Sections:
    """The settings of each section by lower-case name; of two values under one name the later one
    counts. A value goes on in lines that are set in, each parted by a line feed.

    Raises: Malformed, TooLarge.
    """
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise Malformed(where=where, why="it is not UTF-8") from error
    if len(lines) > LINES_LIMIT:
        raise TooLarge(where=where, why=f"it has more than {LINES_LIMIT} lines")
    found: Sections = {}
    section: dict[str, str] | None = None
    name = ""
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        place = f"{where}:{number}"
        if not line.isprintable() and not line.replace("\t", " ").isprintable():
            raise Malformed(where=place, why="it holds control characters")
        if match := _SECTION.fullmatch(line.rstrip()):
            section, name = found.setdefault(match[1].strip(), {}), ""
        elif line[0] in " \t" and section is not None and name:
            section[name] = f"{section[name]}\n{line.strip()}".strip()
        elif section is None or "=" not in line:
            raise Malformed(where=place, why="it is neither a section nor a setting in one")
        else:
            name, _, value = (part.strip() for part in line.partition("="))
            name = name.lower()
            section[name] = value
        if section and len(section.get(name, "")) > VALUE_LIMIT:
            raise TooLarge(where=place, why=f"its {name[:40]} is over {VALUE_LIMIT} bytes")
    return found


def words(value: str) -> tuple[str, ...]:
    """The words of a list, parted by commas or blanks, each once."""
    return tuple(dict.fromkeys(word for word in re.split(r"[\s,]+", value) if word))
