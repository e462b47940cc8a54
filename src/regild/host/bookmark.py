"""How far something long has come, remembered in the user's cache for the next run."""

from __future__ import annotations

import hashlib

from regild.host.files import write_whole
from regild.host.scratch import cache_folder


class Bookmark:
    """One line of text about one thing that is being sent."""

    def __init__(self, what: str) -> None:
        name = hashlib.sha256(what.encode()).hexdigest()
        self._path = cache_folder() / "uploads" / name

    def find(self) -> str:
        """What an earlier run kept; empty where there is nothing."""
        return self._path.read_text() if self._path.is_file() else ""

    def keep(self, text: str) -> None:
        """Remember a text."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, text.encode())

    def forget(self) -> None:
        """Nothing is left to go on with."""
        self._path.unlink(missing_ok=True)
