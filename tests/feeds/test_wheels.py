"""Wheels in folders and at indexes: what counts, what is passed over, what is refused."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path

import pytest

from regild.errors import Malformed, MissingFile, NotOffered
from regild.feeds.policy import SitePolicy
from regild.feeds.wheels import Wheels, read_index
from regild.model.digest import sha256_of
from regild.model.progress import Silent
from regild.model.recipe import Origin, Recipe
from tests.feeds.wheels import build_wheel

DIGITS = "a" * 64
WHERE = "https://mirror.example/simple/acme/"


def shelf(folder: Path, place: str = "wheels", origin: Origin = "site") -> Wheels:
    recipe = Recipe("web", sha256_of(b""), origin, str(folder))
    (folder / "cache").mkdir(exist_ok=True)
    return Wheels(recipe, place, SitePolicy(), folder / "cache", Silent())


def test_a_folder_offers_its_wheels_with_their_digests(tmp_path: Path) -> None:
    path = build_wheel(tmp_path / "wheels", "Acme-Lib", "1.2", "six>=1", "x; extra == 'y'")
    (tmp_path / "wheels/acme-lib-1.3.tar.gz").write_bytes(b"a source")
    found = shelf(tmp_path)
    (wheel,) = found.wheels("acme-lib")
    assert (wheel.version, wheel.file.digest) == ("1.2", sha256_of(path.read_bytes()))
    assert wheel.tags == ("py3-none-any",)
    assert wheel.folder == "Acme_Lib-1.2.dist-info"
    assert found.needs(wheel) == ("six>=1", "x; extra == 'y'")
    assert found.wheels("other") == ()


def test_a_folder_that_is_not_there_is_an_error_and_an_images_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        shelf(tmp_path).wheels("acme")
    build_wheel(tmp_path / "wheels", "acme", "1.0")
    with pytest.raises(NotOffered, match="takes no wheels from a folder"):
        shelf(tmp_path, origin="image").wheels("acme")


HTML = f"""<!DOCTYPE html><html><body>
<a href="../../f/acme-1.0-py3-none-any.whl#sha256={DIGITS}" data-requires-python="&gt;=3.8">a</a>
<a href="/f/acme-1.1-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl#sha256={DIGITS}"
   data-yanked="" data-core-metadata="sha256={"b" * 64}">b</a>
<a href="acme-1.2.tar.gz#sha256={DIGITS}">a source</a>
<a href="acme-1.3-py3-none-any.whl">no digest</a>
<a href="other-1.0-py3-none-any.whl#sha256={DIGITS}">another</a>
<a href="file:///f/acme-1.4-py3-none-any.whl#sha256={DIGITS}">a file</a>
</body></html>"""
JSON = {
    "meta": {"api-version": "1.1"},
    "name": "acme",
    "files": [
        {
            "filename": "acme-1.0-py3-none-any.whl",
            "url": "../../f/acme-1.0-py3-none-any.whl",
            "hashes": {"sha256": DIGITS},
            "requires-python": ">=3.8",
        },
        {
            "filename": "acme-1.1-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "url": "/f/acme-1.1-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "hashes": {"sha256": DIGITS},
            "yanked": "it was broken",
            "core-metadata": {"sha256": "b" * 64},
        },
        {"filename": "acme-1.2.tar.gz", "url": "acme-1.2.tar.gz", "hashes": {"sha256": DIGITS}},
        {"filename": "acme-1.3-py3-none-any.whl", "url": "acme-1.3-py3-none-any.whl", "hashes": {}},
    ],
}


def test_both_forms_of_an_index_say_the_same() -> None:
    found = read_index(HTML.encode(), WHERE, "acme")
    assert found == read_index(json.dumps(JSON).encode(), WHERE, "acme")
    first, second = found
    assert first.file.uri == "https://mirror.example/f/acme-1.0-py3-none-any.whl"
    assert (first.requires_python, first.yanked, first.metadata) == (">=3.8", False, None)
    assert (second.yanked, second.metadata) == (True, f"sha256:{'b' * 64}")
    assert len(second.tags) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"files": 3}',
        b'{"files": [{}]}',
        b'{"\xff": 1}',
        b"<a href='http://['>a</a>",
    ],
)
def test_an_index_that_cannot_be_read_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        read_index(content, WHERE, "acme")


def test_an_index_with_a_torn_mark_offers_nothing() -> None:
    """Python's reader of HTML passes over it since 3.13, and refused it before."""
    with contextlib.suppress(Malformed):
        assert not read_index(b"<![x y", WHERE, "acme")


@pytest.mark.parametrize("kind", ["no zip", "no metadata", "two", "too many"])
def test_a_wheel_that_says_nothing_of_itself_is_malformed(tmp_path: Path, kind: str) -> None:
    needs = [f"x{n}" for n in range(1001)] if kind == "too many" else []
    path = build_wheel(tmp_path / "wheels", "acme", "1.0", *needs)
    if kind == "no zip":
        path.write_bytes(b"PK\x03\x04 and nothing more")
    elif kind != "too many":
        with zipfile.ZipFile(path, "w" if kind == "no metadata" else "a") as archive:
            archive.writestr("acme.py" if kind == "no metadata" else "b.dist-info/METADATA", "")
    with pytest.raises(Malformed):
        found = shelf(tmp_path)
        found.needs(*found.wheels("acme"))
