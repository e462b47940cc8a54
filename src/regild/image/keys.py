"""The keys of encrypted volumes, as the user gives them: files with a passphrase or a volume key.

A key never becomes part of an answer, a log line or an error; `repr` says only how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from regild.errors import UsageError
from regild.host.files import read_limited

MAX_KEY_BYTES = 8 << 20
"""As much as cryptsetup takes from a key file by default."""
MAX_KEYS = 8
"""Each is tried on each volume, and a try is slow by design."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets that may open encrypted volumes, tried in their order."""

    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.secrets)

    def passphrases(self) -> Iterator[bytes]:
        """Every secret as it stands, and without the line's end that an editor leaves behind it."""
        for secret in self.secrets:
            yield secret
        for secret in self.secrets:
            if secret.endswith(b"\n"):
                yield secret.rstrip(b"\r\n")


NO_KEYS = Keys()


def read_keys(paths: Sequence[Path]) -> Keys:
    """The keys in some files, each file one key; its bytes are taken as cryptsetup takes them.

    Raises: UsageError for an empty file or too many; MissingFile, NotPermitted, TooLarge.
    """
    if len(paths) > MAX_KEYS:
        raise UsageError(what=f"{len(paths)} key files are given, and {MAX_KEYS} are allowed")
    secrets = []
    for path in paths:
        secret = read_limited(path, MAX_KEY_BYTES)
        if not secret:
            raise UsageError(what=f"the key file {path} is empty")
        secrets.append(secret)
    return Keys(tuple(secrets))
