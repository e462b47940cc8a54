"""Talking to a server that the user named: requests, uploads from files, downloads into files.

The address is the user's own, as it is for `regild.host.remote`; credentials come from the
environment and never show in an error. A passing failure is asked again (`regild.host.patience`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from regild.errors import DigestMismatch, MissingFile, NotPermitted, PublishError, Truncated
from regild.host.deadline import GRACE_SECONDS, Allowance, TooLate, within
from regild.host.files import open_new
from regild.host.patience import Again, patiently
from regild.model.digest import Digest

if TYPE_CHECKING:
    import httpx

SILENCE_SECONDS = 60.0
ANSWER_SECONDS = 120.0
"""Until the head of an answer is there, in all; what is uploaded is worth more."""
PIECE_BYTES = 1 << 20
AGAIN = (408, 425, 429, 500, 502, 503, 504)
REDIRECTS = 5
PLAINLY = {"Accept-Encoding": "identity"}
SECRET = ("authorization", "x-auth-token")
"""Headers that only the server itself is shown."""
ANSWER_BYTES = 16 << 20
"""What is read of an answer that is not a file."""


class WebApi:
    """A server's API at one address; close it after use."""

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        from regild.host.web_library import httpx, keep_time

        self.address = address.rstrip("/")
        # Nothing is kept open between requests: targets are not closed by those who use them.
        self._client = keep_time(
            httpx.Client(
                timeout=SILENCE_SECONDS,
                headers=dict(headers or {}),
                follow_redirects=False,
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        )

    def __enter__(self) -> WebApi:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        expected: tuple[int, ...],
        *,
        content: bytes | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request and its whole answer, whose status must be one of those expected.

        Raises: MissingFile for 404, NotPermitted for 401 and 403, Unreachable, PublishError.
        """

        def send() -> httpx.Response:
            asked = {"content": content, "json": json, "headers": dict(headers or {})}
            with within(ANSWER_SECONDS) as allowance:
                return self._sent(allowance, method, path, **asked)

        return self._checked(patiently(self.address, send), expected, f"{method} {path}")

    def upload(
        self,
        method: str,
        path: str,
        expected: tuple[int, ...],
        file: Path,
        *,
        begin: int = 0,
        length: int,
        headers: Mapping[str, str],
        advance: Callable[[int], None],
    ) -> httpx.Response:
        """Send a part of a file as the body of one request; it is not asked again by itself.

        Raises: as `ask`.
        """
        told = {"Content-Length": str(length), **headers}
        try:
            with within(ANSWER_SECONDS) as allowance:
                body = _parts(file, begin, length, advance, allowance)
                answer = self._sent(allowance, method, path, content=body, json=None, headers=told)
        except Again as error:
            why = f"{method} {path}: {error}"
            raise PublishError(where=self.address, why=f"the upload broke off: {why}") from error
        return self._checked(answer, expected, f"{method} {path}")

    def download(
        self, path: str, target: Path, digest: Digest, size: int, advance: Callable[[int], None]
    ) -> None:
        """Bring a file whose digest is known; it appears when all of it came and fits.

        Raises: as `ask`; DigestMismatch, Truncated.
        """
        from regild.host.web_library import httpx

        algorithm, _, digits = digest.partition(":")
        state, count = hashlib.new(algorithm), 0
        try:
            with (
                open_new(target) as file,
                within(ANSWER_SECONDS) as allowance,
                self._opened(path) as answer,
            ):
                self._checked(answer, (200,), f"GET {path}", read=False)
                allowance.begin_body(GRACE_SECONDS)
                for piece in answer.iter_raw():
                    allowance.came(len(piece))
                    count += len(piece)
                    if count > size:
                        raise Truncated(where=path, why="the server sends too much")
                    state.update(piece)
                    file.write(piece)
                    advance(len(piece))
                if count != size or state.hexdigest() != digits:
                    why = f"{count} bytes came with another digest than {digest}"
                    raise DigestMismatch(where=f"{self.address}{path}", why=why)
        except (httpx.RequestError, TooLate) as error:
            raise PublishError(where=self.address, why=str(error)) from error

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[httpx.Response]:
        """A stream of an answer, after redirects: stores hand out their files elsewhere. There no
        credentials are shown, and never without TLS what was asked for with it."""
        from regild.host.web_library import httpx

        url, home = httpx.URL(self._url(path)), httpx.URL(self.address)
        for _ in range(REDIRECTS + 1):
            request = self._client.build_request("GET", url, headers=PLAINLY)
            if (url.scheme, url.netloc) != (home.scheme, home.netloc):
                for name in SECRET:
                    request.headers.pop(name, None)
            answer = self._client.send(request, stream=True)
            try:
                if not answer.has_redirect_location:
                    yield answer
                    return
                there = _joined(url, answer.headers["location"])
            finally:
                answer.close()
            safe = ("https",) if url.scheme == "https" else ("https", "http")
            if there is None or there.scheme not in safe:
                raise PublishError(where=self.address, why="it is redirected to nowhere safe")
            url = there
        raise PublishError(where=self.address, why=f"over {REDIRECTS} redirects, one after another")

    def _sent(self, allowance: Allowance, method: str, path: str, **asked: Any) -> httpx.Response:
        from regild.host.web_library import httpx

        try:
            with self._client.stream(method, self._url(path), **asked) as streamed:
                answer = _whole(streamed, self.address, allowance)
        except (httpx.RequestError, TooLate) as error:
            raise Again(str(error) or type(error).__name__) from error
        if answer.status_code in AGAIN:
            raise Again(f"the server answers {answer.status_code}")
        return answer

    def _url(self, path: str) -> str:
        return path if path.startswith(("http://", "https://")) else self.address + path

    def _checked(
        self, answer: httpx.Response, expected: tuple[int, ...], what: str, read: bool = True
    ) -> httpx.Response:
        code = answer.status_code
        if code in expected:
            return answer
        if code == 404:
            raise MissingFile(where=f"{self.address}: {what}", why="the server answers 404")
        if code in (401, 403):
            raise NotPermitted(where=f"{what} at {self.address}", why=f"the server answers {code}")
        said = answer.text[:300] if read else ""
        raise PublishError(where=self.address, why=f"{what}: the server answers {code} {said}")


def _whole(answer: httpx.Response, where: str, allowance: Allowance) -> httpx.Response:
    """An answer that came in pieces, as one, unless it is too long.

    Raises: PublishError.
    """
    from regild.host.web_library import httpx

    content = bytearray()
    allowance.begin_body(GRACE_SECONDS)
    for piece in answer.iter_bytes():
        allowance.came(len(piece))
        content += piece
        if len(content) > ANSWER_BYTES:
            raise PublishError(where=where, why=f"it answers with more than {ANSWER_BYTES} bytes")
    about = ("content-encoding", "transfer-encoding", "content-length")
    told = [(name, value) for name, value in answer.headers.multi_items() if name not in about]
    return httpx.Response(
        answer.status_code, headers=told, content=bytes(content), request=answer.request
    )


def _joined(url: httpx.URL, location: str) -> httpx.URL | None:
    """Where a redirect leads; None where that is no address."""
    from regild.host.web_library import httpx

    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError):
        return None


def _parts(
    file: Path, begin: int, length: int, advance: Callable[[int], None], allowance: Allowance
) -> Iterator[bytes]:
    with file.open("rb") as opened:
        opened.seek(begin)
        while length and (piece := opened.read(min(PIECE_BYTES, length))):
            allowance.came(len(piece))
            yield piece
            length -= len(piece)
            advance(len(piece))
