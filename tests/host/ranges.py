"""A real HTTP server on loopback that answers ranges, and can be made to misbehave."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from tests.feeds.servers import running


@dataclass
class Shelf:
    """What the server holds, how it behaves, and what was asked of it."""

    folder: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)
    """The ranges, as they were asked for."""
    bytes_sent: int = 0
    ranges: bool = True
    """Without, every answer is the whole file."""
    tag: str = '"1"'
    failures: list[int] = field(default_factory=list)
    """Statuses of the next answers; 0 breaks the line in the middle, -1 hangs up at once."""
    redirects: dict[str, str] = field(default_factory=dict)
    pause_seconds: float = 0
    """Before each answer, as a server far away has it."""
    password: str = ""
    """What the Authorization header must say."""


@contextlib.contextmanager
def serve_ranges(folder: Path, certificate: Path | None = None) -> Iterator[Shelf]:
    """Serve the files of a folder by ranges until the block ends."""
    shelf = Shelf(folder)

    class Desk(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            shelf.requests.append(asked)
            failure = shelf.failures.pop(0) if shelf.failures else 200
            time.sleep(shelf.pause_seconds)
            place = urlsplit(self.path).path
            if failure == -1:
                self.close_connection = True
            elif failure not in (0, 200):
                self._say(failure)
            elif place in shelf.redirects:
                self._say(302, {"Location": shelf.redirects[place]})
            elif shelf.password and self.headers.get("Authorization") != shelf.password:
                self._say(401)
            elif not (shelf.folder / place.lstrip("/")).is_file():
                self._say(404)
            else:
                self._send(shelf.folder / place.lstrip("/"), asked, broken=failure == 0)

        def _say(self, status: int, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"sorry")

        def _send(self, path: Path, asked: str, broken: bool) -> None:
            size = path.stat().st_size
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
            begin, end = 0, size
            if found and shelf.ranges:
                begin, end = int(found[1]), min(int(found[2]) + 1, size)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("ETag", shelf.tag)
            self.send_header("Content-Length", str(end - begin))
            self.end_headers()
            with path.open("rb") as file:
                file.seek(begin)
                content = file.read(end - begin)
            content = content[: len(content) // 2] if broken else content
            self.close_connection = self.close_connection or broken
            shelf.bytes_sent += len(content)
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

    with running(Desk, certificate) as port:
        scheme = "https" if certificate else "http"
        shelf.url = f"{scheme}://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"
        yield shelf
