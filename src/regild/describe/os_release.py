"""Which operating system the guest is (os-release(5); Debian's point release from
/etc/debian_version)."""

from __future__ import annotations

import re

from msgspec.structs import replace

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.errors import Malformed
from regild.model.content import Platform, Unknown

PATHS = ("/etc/os-release", "/usr/lib/os-release")
"""In the order in which os-release(5) looks; the first that exists counts alone."""

DEBIAN_VERSION = "/etc/debian_version"
LIMIT = 64 << 10
VALUE_LIMIT = 1024

_LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)
_QUOTED = re.compile(r'\\([\\"$`])')


def read_os_release(evidence: Evidence, known: Findings) -> Findings:
    """The platform that os-release states; Unknown where it cannot be read, nothing where there is
    none."""
    for path in PATHS:
        try:
            content = evidence.find_bytes(path, LIMIT)
            if content is None:
                continue
            return _findings(evidence, path, parse(content, path))
        except Unreadable as error:
            return Findings(unknowns=(unknown(error, path),))
    return Findings()


def parse(content: bytes, where: str) -> dict[str, str]:
    """The assignments of an os-release file; lines that are none are passed over, as the standard
    asks.

    Raises: Malformed when the text is not UTF-8.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Malformed(where=where, why="it is not UTF-8") from error
    found = (_LINE.fullmatch(line.strip()) for line in text.split("\n"))
    return {match[1]: _unquoted(match[2])[:VALUE_LIMIT] for match in found if match}


def _unquoted(value: str) -> str:
    """A value as a shell would take it: quotes removed, backslashes resolved, nothing expanded."""
    quote = value[:1]
    if quote in ('"', "'"):
        end = _closing(value, quote)
        value = value[1:end]
        value = _QUOTED.sub(r"\1", value) if quote == '"' else value
    else:
        value = re.sub(r"\\(.)", r"\1", value.split(" ")[0])
    return "".join(c for c in value if c.isprintable())


def _closing(value: str, quote: str) -> int:
    """The position of the closing quote, or the end of a value that has none."""
    position = 1
    while position < len(value) and value[position] != quote:
        position += 2 if quote == '"' and value[position] == "\\" else 1
    return position


def _findings(evidence: Evidence, path: str, stated: dict[str, str]) -> Findings:
    id = stated.get("ID", "linux")
    if not _WORD.fullmatch(id):
        return Findings(unknowns=(Unknown(where=path, why="its ID is not a word"),))
    platform = Platform(
        family="linux",
        id=id.lower(),
        version=stated.get("VERSION_ID", ""),
        codename=stated.get("VERSION_CODENAME", ""),
        name=stated.get("PRETTY_NAME", ""),
    )
    if platform.id != "debian" or not platform.version:
        return Findings(platform=platform)
    point = _point_release(evidence, platform.version)
    return Findings(platform=replace(platform, version=point))


def _point_release(evidence: Evidence, version: str) -> str:
    """Debian's point release, such as 12.5, where os-release says only 12."""
    content = evidence.find_bytes(DEBIAN_VERSION, LIMIT) or b""
    stated = content.decode(errors="replace").strip()
    return stated if re.fullmatch(re.escape(version) + r"\.[0-9]{1,4}", stated) else version
