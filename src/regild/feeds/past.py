"""The signed releases of repositories that were believed once, so that a plan can be made as of a
past date.

What a repository offered then is known in two ways: the release that it shows now is not younger
than the date (a snapshot, or a mirror that stands still), or the release of that time was seen by
this cache, which keeps each as it came, signature and all. It is verified anew whenever it is used.
"""

from __future__ import annotations

from pathlib import Path

from regild.host.files import translated, write_whole
from regild.model.digest import hex_of, sha256_of

FOLDER = "past"
INLINE, TEXT, SIGNATURE = "InRelease", "Release", "Release.gpg"
RELEASES_LIMIT = 10_000
"""Releases of one repository that are looked at: four a day for seven years."""

Files = dict[str, bytes]
"""A release's files as they came, by name: one signed within, or two."""


def keep_past(cache: Path, top: str, date: str, files: Files) -> None:
    """Keep a release that was believed; `top` is its address in the image, `date` its own date.

    Raises: DiskFull, NotPermitted.
    """
    folder = _folder(cache, top) / date.replace(":", "")
    if not date or all((folder / name).is_file() for name in files):
        return
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(folder / name, content)


def find_past(cache: Path, top: str, moment: str, limit: int) -> Files | None:
    """The newest release of a repository that is not younger than a moment; None where this cache
    has seen none."""
    try:
        dates = sorted(path.name for path in _folder(cache, top).iterdir())[-RELEASES_LIMIT:]
    except OSError:
        return None
    for date in reversed(dates):
        if date <= moment.replace(":", ""):
            return _read(_folder(cache, top) / date, limit)
    return None


def _read(folder: Path, limit: int) -> Files | None:
    names = (INLINE,) if (folder / INLINE).is_file() else (TEXT, SIGNATURE)
    try:
        found = {name: (folder / name).read_bytes() for name in names}
    except OSError:
        return None
    return found if all(len(content) <= limit for content in found.values()) else None


def _folder(cache: Path, top: str) -> Path:
    return cache / FOLDER / hex_of(sha256_of(top.encode()))
