"""Release files believed only by their signature (apt-secure(8); RFC 9580, 7 cleartext framework).

What is verified is what is used: the functions give back the signed bytes, and nothing that stands
before, between or after them.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from regild.errors import BadSignature, UnknownKey
from regild.feeds.keys import Key, Trust

if TYPE_CHECKING:
    from pysequoia import Sig

BEGIN_MESSAGE = b"-----BEGIN PGP SIGNED MESSAGE-----"
BEGIN_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
END_SIGNATURE = b"-----END PGP SIGNATURE-----"

_MARK = re.compile(rb"^-----.*$", re.MULTILINE)


class Signed(NamedTuple):
    """Bytes that a trusted key has signed."""

    text: bytes
    keys: tuple[str, ...]
    """Fingerprints of the certificates that signed them, lower-case hexadecimal, sorted."""


def verify_cleartext(message: bytes, trust: Trust, now: datetime, where: str) -> Signed:
    """The signed text of an InRelease file.

    Raises: BadSignature with a plain reason.
    """
    marks = [match[0].rstrip() for match in _MARK.finditer(message)]
    whole = message.strip()
    framed = marks == [BEGIN_MESSAGE, BEGIN_SIGNATURE, END_SIGNATURE]
    if BEGIN_MESSAGE not in marks:
        raise BadSignature(where=where, why="it is not signed")
    if not framed or not whole.startswith(BEGIN_MESSAGE) or not whole.endswith(END_SIGNATURE):
        raise BadSignature(where=where, why="there is text outside of what is signed")
    return _verified(message, None, trust, now, where)


def verify_detached(
    text: bytes, signature: bytes, trust: Trust, now: datetime, where: str
) -> Signed:
    """A Release file that its Release.gpg signs.

    Raises: BadSignature with a plain reason.
    """
    from pysequoia import Sig

    try:
        packet = Sig.from_bytes(signature)
    except Exception as error:
        raise BadSignature(where=where, why="its signature is damaged") from error
    return _verified(text, packet, trust, now, where)


def _verified(
    content: bytes, signature: Sig | None, trust: Trust, now: datetime, where: str
) -> Signed:
    from pysequoia import verify

    asked: list[str] = []

    def find(ids: list[str]) -> list[object]:
        asked.extend(ids)
        return [key.certificate for key in trust.keys]

    try:
        found = verify(content, store=find, signature=signature)
    except Exception as error:
        # The library's errors have no class of their own, and their text holds a stack trace.
        raise _refusal(asked, trust, now, where) from error
    keys = {key.fingerprint: key for key in trust.keys}
    signed = [(one.certificate.lower(), one.signing_key.lower()) for one in found.valid_sigs]
    admitted = [pair for pair in signed if pair[0] in keys and trust.admits(*pair)]
    good = [one for one, key in admitted if not keys[one].expired(key, now)]
    if not good:
        raise _refusal([key for _, key in admitted or signed], trust, now, where)
    text = content if signature is not None else found.bytes or b""
    return Signed(text, tuple(sorted(set(good))))


def _refusal(asked: list[str], trust: Trust, now: datetime, where: str) -> BadSignature:
    """Say in words why no signature counts."""
    known = {one: key for one in asked if (key := _key_of(one, trust))}
    if not asked:
        why = "its signature is damaged"
    elif not known:
        named = ", ".join(map(_short, asked[:4]))
        return UnknownKey(where=where, why=f"it is signed by {named}")
    elif ends := [end for one, key in known.items() if (end := key.expired(one, now))]:
        why = f"the {_short(next(iter(known)))} expired on {min(ends):%Y-%m-%d}"
    elif not any(trust.admits(key.fingerprint, one) for one, key in known.items()):
        named = _short(next(iter(known)))
        return UnknownKey(where=where, why=f"{named} is not the key that the source is signed by")
    else:
        why = f"its text is not what {_short(next(iter(known)))} signed"
    return BadSignature(where=where, why=why)


def _key_of(asked: str, trust: Trust) -> Key | None:
    """The trusted certificate that holds a key, by fingerprint or key id."""
    wanted = asked.lower()
    for key in trust.keys:
        if any(one.endswith(wanted) or wanted.endswith(one) for one in key.ends):
            return key
    return None


def _short(fingerprint: str) -> str:
    return f"key {fingerprint.upper()[-16:]}"
