"""A real HTTP server on loopback with answers made to measure."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Answer:
    """What one path answers; `failures` are statuses of the first times, 0 breaks the line."""

    body: bytes = b""
    status: int = 200
    to: str = ""
    chunked: bool = False
    declared: int | None = None
    failures: list[int] = field(default_factory=list)
    asked: int = 0


@dataclass
class Server:
    url: str
    port: int
    paths: list[str]
    hosts: list[str]


@contextlib.contextmanager
def serve(answers: Mapping[str, Answer], certificate: Path | None = None) -> Iterator[Server]:
    """Answer requests from a table until the block ends; over TLS with a certificate and key."""
    paths: list[str] = []
    hosts: list[str] = []

    class Desk(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            paths.append(self.path)
            hosts.append(self.headers["Host"])
            answer = answers.get(self.path, Answer(status=404))
            answer.asked += 1
            status = answer.failures.pop(0) if answer.failures else answer.status
            self.close_connection = True
            if status == 0:
                return
            self.send_response(status)
            if answer.to:
                self.send_header("Location", answer.to)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                length = len(answer.body) if answer.declared is None else answer.declared
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if answer.chunked:
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer.body), answer.body))
            else:
                self.wfile.write(answer.body)

    with running(Desk, certificate) as port:
        yield Server(f"http://127.0.0.1:{port}", port, paths, hosts)


@contextlib.contextmanager
def serve_folder(folder: Path) -> Iterator[Server]:
    """Serve a folder as a mirror would."""
    paths: list[str] = []

    class Desk(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            paths.append(self.path)

    with running(Desk) as port:
        yield Server(f"http://127.0.0.1:{port}", port, paths, [])


class Quiet(ThreadingHTTPServer):
    """A server that does not tell of clients that hang up."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextlib.contextmanager
def running(desk: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[int]:
    """Answer with a desk until the block ends; the port where."""
    server = Quiet(("127.0.0.1", 0), desk)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
