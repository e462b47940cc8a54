"""Asking a store of objects through fsspec: its errors become regild's own, and what may pass is
asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from regild.errors import DigestMismatch, MissingFile, NotPermitted, Unreachable
from regild.host.patience import Again, patiently

FOREIGN = ("aiobotocore", "aiohttp", "botocore", "fsspec", "s3fs")
"""Whose errors are translated here."""

_T = TypeVar("_T")


def ask_store(where: str, ask: Callable[[], _T]) -> _T:
    """What `ask` gives; `where` is how the object is shown, without credentials.

    Raises: MissingFile, NotPermitted, DigestMismatch when the object became another one,
    Unreachable after the last attempt.
    """
    return patiently(where, lambda: _translated(where, ask))


def _translated(where: str, ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except FileNotFoundError as error:
        raise MissingFile(where=where, why="there is no such object") from error
    except PermissionError as error:
        raise NotPermitted(where=f"access to {where}", why=str(error)) from error
    except OSError as error:
        if type(error).__name__ == "FileExpired":
            raise DigestMismatch(where=where, why="it changed while it was read") from error
        raise Again(str(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in FOREIGN:
            raise
        raise Unreachable(where=where, why=str(error)) from error
