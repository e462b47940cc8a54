"""libvirt's own binding, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regild.errors import LibraryMissing


def libvirt_library(why: str) -> Any:
    """The binding, which is to say nothing on standard error by itself; `why` it is needed.

    Raises: LibraryMissing.
    """
    try:
        import libvirt
    except ImportError as error:
        raise LibraryMissing(where="libvirt", why=why, extra="libvirt") from error
    silent: Callable[..., None] = lambda *_: None  # noqa: E731 - the binding takes a callable
    libvirt.registerErrorHandler(silent, None)
    return libvirt
