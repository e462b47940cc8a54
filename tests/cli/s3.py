"""A server that speaks S3 on loopback: moto's, which stands in for a real object store."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from s3fs import S3FileSystem

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@contextlib.contextmanager
def serve_s3(folder: Path) -> Iterator[str]:
    """Serve the files of a folder as the bucket `images` until the block ends; its endpoint."""
    environment = {**os.environ, **ENVIRONMENT}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as server:
        assert server.stdout is not None
        endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            put(f"{endpoint}/images", b"")
            # Who asked an earlier server is remembered with its address.
            S3FileSystem.clear_instance_cache()
            for path in folder.iterdir():
                put(f"{endpoint}/images/{path.name}", path.read_bytes())
            yield endpoint
        finally:
            server.terminate()


def put(url: str, content: bytes) -> None:
    request = urllib.request.Request(url, data=content, method="PUT")
    request.add_header("Content-Type", "application/octet-stream")
    request.add_header(
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, "
        "SignedHeaders=host, Signature=0",
    )
    for attempt in range(50):
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except OSError:
            if attempt == 49:
                raise
            time.sleep(0.1)
