"""The cache of a site while somebody works with it; put in order when the work is done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from regild.agent.site import Site
from regild.host.shared import using

TRIMMED = "trimmed"
"""A file whose time says when the cache was last put in order."""
DAY_SECONDS = 86400


@contextlib.contextmanager
def using_cache(site: Site, at_most_daily: bool = False) -> Iterator[None]:
    """Use the cache of a site, which is brought within its bounds when the work is done.

    Nobody is waited for: what was used within a day is left alone.
    """
    with using(site.cache):
        yield
    now = time.time()
    if not at_most_daily or now - _trimmed(site.cache) > DAY_SECONDS:
        from regild.agent.planning.cleaning import trim  # few have something to clear

        with contextlib.suppress(OSError):
            (site.cache / TRIMMED).touch()
        trim(site, now)


def _trimmed(cache: Path) -> float:
    """When a cache was put in order last."""
    with contextlib.suppress(OSError):
        return (cache / TRIMMED).stat().st_mtime
    return 0
