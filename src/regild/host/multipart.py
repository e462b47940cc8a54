"""An object of S3 that is sent in parts, and goes on with those that are missing after a break.

The server keeps the parts of an upload until it is completed or aborted, so its id is remembered on
this machine. Amazon S3 API: CreateMultipartUpload, UploadPart, ListParts, CompleteMultipartUpload;
a part has 5 MiB at least, and an object 10,000 parts at most.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regild.errors import MissingFile, RegildError
from regild.host.bookmark import Bookmark
from regild.host.files import digest_file, translated

PART_BYTES = 16 << 20
"""What is lost at most of each part that was under way when the line broke."""
PARTS_MAX = 10_000
AT_ONCE = 4
MIB = 1 << 20

Asking = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True, slots=True)
class _Upload:
    """One object on its way."""

    call: Callable[..., Any]
    """A call of S3 by its name, with what it takes; its errors are regild's."""
    id: str

    def tags(self, sizes: dict[int, int]) -> dict[int, str]:
        """The parts that have come as they should be, each by its number with its entity tag."""
        found: dict[int, str] = {}
        marker = 0
        while True:
            told = self.call("list_parts", UploadId=self.id, PartNumberMarker=marker)
            for part in told.get("Parts", ()):
                if sizes.get(part["PartNumber"]) == part["Size"]:
                    found[part["PartNumber"]] = part["ETag"]
            following = int(told.get("NextPartNumberMarker") or 0)
            if not told.get("IsTruncated") or following <= marker:
                return found
            marker = following

    def send(self, path: Path, number: int, begin: int, size: int) -> tuple[int, str]:
        """Send one part; its number and entity tag."""
        with translated(path), path.open("rb") as file:
            file.seek(begin)
            body = file.read(size)
        told = self.call("upload_part", UploadId=self.id, PartNumber=number, Body=body)
        return number, told["ETag"]


def put_in_parts(
    system: Any, ask: Asking, place: str, path: Path, advance: Callable[[int], None]
) -> int:
    """Send a file to a place in a bucket; how many bytes had to be sent.

    Raises: as `ask_store`; MissingFile.
    """
    size, digest = path.stat().st_size, digest_file(path)
    length = _part_bytes(size)
    begins = {number + 1: begin for number, begin in enumerate(range(0, size, length))}
    sizes = {number: min(length, size - begin) for number, begin in begins.items()}
    bucket, key, _ = system.split_path(place)

    def call(method: str, **named: Any) -> Any:
        return ask(lambda: system.call_s3(method, Bucket=bucket, Key=key, **named))

    mark = Bookmark(f"s3 {system.client_kwargs.get('endpoint_url', '')} {place}")
    upload, tags = _begun(call, mark, f"{length} {digest}", sizes)
    advance(sum(sizes[number] for number in tags))
    missing = [number for number in begins if number not in tags]

    def send(number: int) -> tuple[int, str]:
        return upload.send(path, number, begins[number], sizes[number])

    with ThreadPoolExecutor(AT_ONCE) as crew:
        try:
            for number, tag in crew.map(send, missing):
                tags[number] = tag
                advance(sizes[number])
        except BaseException:
            crew.shutdown(cancel_futures=True)
            raise
    parts = [{"PartNumber": number, "ETag": tags[number]} for number in begins]
    call("complete_multipart_upload", UploadId=upload.id, MultipartUpload={"Parts": parts})
    mark.forget()
    return sum(sizes[number] for number in missing)


def _begun(
    call: Callable[..., Any], mark: Bookmark, about: str, sizes: dict[int, int]
) -> tuple[_Upload, dict[int, str]]:
    """The upload of an earlier run with what has come of it, or a new one.

    One of other bytes to the same place is aborted: nobody would go on with it.
    """
    kept, _, kept_about = mark.find().partition(" ")
    if kept and kept_about == about:
        with contextlib.suppress(MissingFile):
            upload = _Upload(call, kept)
            return upload, upload.tags(sizes)
    elif kept:
        with contextlib.suppress(RegildError):
            call("abort_multipart_upload", UploadId=kept)
    upload = _Upload(call, str(call("create_multipart_upload")["UploadId"]))
    mark.keep(f"{upload.id} {about}")
    return upload, {}


def _part_bytes(size: int) -> int:
    """The length of each part but the last, so that there are not too many."""
    least = -(-size // PARTS_MAX)
    return max(PART_BYTES, -(-least // MIB) * MIB)
