"""Names and passwords for servers, from the files that curl, apt and others keep them in (netrc(5);
apt_auth.conf(5)).

They are read only by the reader of the network, sent only to the host that their entry names, and
only over TLS unless the entry itself says `http://`. Nothing here shows a password.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from regild.errors import Malformed, TooLarge
from regild.host.address import SCHEMES
from regild.host.files import read_limited

FILE_LIMIT = 1 << 20
FILES_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Login:
    """The name and password for addresses at a host."""

    host: str
    """Lower case."""
    port: int | None
    path: str
    scheme: str
    """`http` where the entry says so; else `https`."""
    name: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def fits(self, url: str) -> bool:
        """Whether it is meant for an address."""
        split = urlsplit(url)
        port = split.port or SCHEMES.get(split.scheme)
        at = self.path.rstrip("/")
        return (
            split.scheme == self.scheme
            and self.host == (split.hostname or "").lower()
            and self.port in (None, port)
            and (split.path == at or split.path.startswith(f"{at}/") or not at)
        )

    @property
    def header(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        pair = f"{self.name}:{self.password}".encode(errors="surrogateescape")
        return f"Basic {base64.b64encode(pair).decode()}"


def read_logins(places: Iterable[Path]) -> tuple[Login, ...]:
    """The logins of some files and of the folders' files that end in `.conf`, in their order.

    Raises: MissingFile, NotPermitted, TooLarge, Malformed.
    """
    found: list[Login] = []
    for place in places:
        files = sorted(place.glob("*.conf")) if place.is_dir() else [place]
        if len(files) > FILES_LIMIT:
            raise TooLarge(where=str(place), why=f"it holds more than {FILES_LIMIT} files")
        for file in files:
            text = read_limited(file, FILE_LIMIT).decode(errors="surrogateescape")
            found += read_login_text(text, str(file))
    return tuple(found)


def find_login(url: str, logins: Iterable[Login]) -> Login | None:
    """The first login that is meant for an address, as apt takes it."""
    return next((one for one in logins if one.fits(url)), None)


def read_login_text(text: str, where: str) -> Iterator[Login]:
    """The entries of one file. `default` is left out: it would tell its password to whatever host
    an image names.

    Raises: Malformed; what it says holds nothing of the file.
    """
    words = [word for line in text.splitlines() for word in _words(line)]
    told: dict[str, str] = {}
    place = 0
    while place < len(words):
        word = words[place]
        if word == "macdef":
            raise Malformed(where=where, why="it defines a macro, which is not read")
        if word in ("machine", "default"):
            if told.get("machine"):
                yield _login(told, where)
            told = {"machine": ""}
        if word == "default":
            place += 1
            continue
        if word not in ("machine", "login", "password", "account") or place + 1 >= len(words):
            raise Malformed(where=where, why=f"its word {place + 1} is no part of an entry")
        told[word] = words[place + 1]
        place += 2
    if told.get("machine"):
        yield _login(told, where)


def _words(line: str) -> list[str]:
    return [] if line.lstrip().startswith("#") else line.split()


def _login(told: dict[str, str], where: str) -> Login:
    machine = told["machine"]
    scheme, sign, rest = machine.partition("://")
    scheme, rest = (scheme.lower(), rest) if sign else ("https", machine)
    try:
        split = urlsplit(f"//{rest}")
        host, port = split.hostname or "", split.port
    except ValueError as error:
        raise Malformed(where=where, why="a machine in it has no valid name") from error
    if scheme not in SCHEMES or "@" in rest:
        raise Malformed(where=where, why="a machine in it is neither a host nor an address")
    path = split.path
    return Login(host, port, path, scheme, told.get("login", ""), told.get("password", ""))
