"""Sums of a guest's files, of which no more than a part is held at once."""

from __future__ import annotations

import hashlib

import pytest

from regild.errors import MissingFile, TooLarge
from regild.prove import scene
from regild.prove.scene import digest_at, sum_at
from tests.describe.guests import MemoryTree

CONTENT = bytes(range(256)) * 10


class Bounded(MemoryTree):
    """Gives no more at once than the bound."""

    def part(self, path: str, offset: int, count: int) -> bytes:
        assert count <= scene.PIECE_BYTES
        return super().part(path, offset, count)


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> Bounded:
    monkeypatch.setattr(scene, "PIECE_BYTES", 100)
    return Bounded({"/large": CONTENT, "/even": CONTENT[:200], "/small": b"a", "/empty": b""})


@pytest.mark.parametrize("path", ["/large", "/even", "/small", "/empty"])
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_a_sum_is_that_of_the_whole_content(tree: Bounded, path: str, algorithm: str) -> None:
    wanted = hashlib.new(algorithm, tree.files[path]).hexdigest()
    assert sum_at(tree, path, len(CONTENT), algorithm) == wanted


@pytest.mark.parametrize("limit", [10, 100, 1000, len(CONTENT) - 1])
def test_what_is_too_large_has_no_sum(tree: Bounded, limit: int) -> None:
    with pytest.raises(TooLarge):
        sum_at(tree, "/large", limit)
    assert "allowed" in digest_at(tree, "/large", limit) or limit <= scene.PIECE_BYTES


def test_what_is_absent_has_none(tree: Bounded) -> None:
    with pytest.raises(MissingFile):
        sum_at(tree, "/absent", 1000)
