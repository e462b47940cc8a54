"""Wheels made on the spot: real zip files with metadata and a record, which pip installs."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path


def build_wheel(
    folder: Path,
    name: str,
    version: str,
    *needs: str,
    tag: str = "py3-none-any",
    python: str = "",
    extras: tuple[str, ...] = (),
) -> Path:
    """A wheel with one module that says its version."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = name.replace("-", "_")
    inside = f"{plain}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}"] if python else []
    lines += [f"Provides-Extra: {one}" for one in extras]
    lines += [f"Requires-Dist: {one}" for one in needs]
    files = {
        f"{plain}.py": f"VERSION = {version!r}\n",
        f"{inside}/METADATA": "\n".join(lines) + "\n",
        f"{inside}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},{_sum(text)},{len(text)}\n" for path, text in files.items())
    files[f"{inside}/RECORD"] = f"{record}{inside}/RECORD,,\n"
    path = folder / f"{plain}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in files.items():
            archive.writestr(zipfile.ZipInfo(place, (2026, 1, 1, 0, 0, 0)), text)
    return path


def _sum(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
