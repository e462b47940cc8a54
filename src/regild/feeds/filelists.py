"""The lists of all files that an rpm repository's packages hold: filelists.xml (createrepo_c).

primary.xml names the files below /etc and in folders of programs only. libsolv reads the whole
list where a path outside of those decides; here it is looked through before that.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from regild.feeds.cache import Cache
from regild.feeds.kept import keep_made
from regild.feeds.survey import Surveyor
from regild.model.digest import Digest

FILELISTS_SUFFIX = ".filelists.xml"
CHECKED_SUFFIX = ".filelists"


def check_filelists(cache: Cache, digest: Digest, where: str) -> None:
    """Look through a list of files of the cache, once for each digest.

    Raises: Malformed, TooLarge.
    """
    path, kept = cache.place(digest, FILELISTS_SUFFIX), cache.place(digest, CHECKED_SUFFIX)
    keep_made(kept, msgspec.msgpack.Decoder(int).decode, lambda: survey(path, where))


def survey(path: Path, where: str) -> int:
    """Refuse what no list of files needs; how many bytes it has.

    Raises: Malformed, TooLarge.
    """
    Surveyor(where).read(path)
    return path.stat().st_size
