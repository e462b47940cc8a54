"""Ports of a guest, asked from a name space in which nothing but the guest can be reached.

A stage has a network of its own with only the loopback device, and that is down until it is asked
for. QEMU's user-mode network listens there and passes on to the guest.
Source: netdevice(7); libslirp, `restrict`.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import socket
import ssl
import struct
from typing import Final

from regild.host.probe import GOOD_CODES

HOST: Final = "127.0.0.1"
SECONDS: Final = 5.0
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_REQUEST: Final = struct.Struct("16sH14x")


def raise_loopback() -> None:
    """Switch the loopback device on; needs the rights of a name space's root."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        _, flags = _REQUEST.unpack(fcntl.ioctl(door, _SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0)))
        fcntl.ioctl(door, _SIOCSIFFLAGS, _REQUEST.pack(b"lo", flags | _IFF_UP))


def find_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as door:
        door.bind((HOST, 0))
        port: int = door.getsockname()[1]
    return port


def open_port(port: int) -> socket.socket | None:
    """A connection to a forwarded port; QEMU accepts it whether or not the guest will."""
    with contextlib.suppress(OSError):
        return socket.create_connection((HOST, port), SECONDS)
    return None


def find_page(port: int, path: str, secure: bool = False) -> str:
    """What is wrong with a page of the guest; empty when it comes with a code from 200 to 399.

    Redirects are not followed; with `secure` whoever signed the certificate is taken as he is.
    """
    asking = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
    if secure:
        asking = http.client.HTTPSConnection(HOST, port, timeout=SECONDS, context=_trusting())
    try:
        with contextlib.closing(asking):
            asking.request("GET", path, headers={"Host": "localhost"})
            code = asking.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error or type(error).__name__}"
    return "" if code in GOOD_CODES else f"it answers with {code}"


def _trusting() -> ssl.SSLContext:
    """TLS that asks nobody: the peer is the guest, whoever it says it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
