"""What reads recipes, and what their applications are brought from."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.targets.target import Target, texts


def run_recipe(content: bytes) -> None:
    """Read a recipe; what is wrong has a reason, and nothing else is refused."""
    from regild.model.recipe_file import check_recipe, named_texts, read_recipe

    texts = dict.fromkeys(named_texts(content), "{}")
    if check_recipe(content):
        return
    assert read_recipe(content, "it", "image", "/srv", texts).name


def seeds_of_recipes() -> Iterator[bytes]:
    from tests.model.test_recipe_file import GOOD, PIP

    yield GOOD.encode()
    yield PIP.encode()


def run_wheel_index(content: bytes) -> None:
    """Read an index of wheels, in either form."""
    from regild.feeds.wheels import read_index

    for one in read_index(content, "https://mirror.example/simple/acme/", "acme"):
        assert one.file.uri.startswith(("http://", "https://"))


def seeds_of_wheel_indexes() -> Iterator[bytes]:
    import json

    from tests.feeds.test_wheels import HTML, JSON

    yield HTML.encode()
    yield json.dumps(JSON).encode()


def run_wheel(content: bytes) -> None:
    """Read what a wheel says that it needs."""
    from regild.feeds.wheels import read_metadata, read_needs
    from regild.model.digest import sha256_of
    from regild.model.plan import Archive
    from regild.model.recipe import Wheel

    file = Archive("file:///a", "a-1-py3-none-any.whl", sha256_of(content), len(content))
    found = read_metadata(io.BytesIO(content), Wheel("a", "1", file, ("py3-none-any",)))
    read_needs(found, "it")


def seeds_of_wheels() -> Iterator[bytes]:
    from tests.feeds.wheels import build_wheel

    with tempfile.TemporaryDirectory() as folder:
        yield build_wheel(Path(folder), "acme", "1.0", "six>=1", python=">=3.8").read_bytes()


def run_npm_wanted(content: bytes) -> None:
    """Read the lock of a recipe."""
    from regild.model.npm_lock import read_lock

    for one in read_lock(content.decode(errors="replace"), "it", "amd64"):
        assert one.name
        assert ".." not in one.name.split("/")


def run_releases(content: bytes) -> None:
    """Read a list of releases."""
    from regild.feeds.recipes import read_list

    read_list(content, "the list")


TARGETS: dict[str, Target] = {
    "recipe": Target(run_recipe, seeds_of_recipes),
    "wheel-index": Target(run_wheel_index, seeds_of_wheel_indexes),
    "wheel": Target(run_wheel, seeds_of_wheels),
    "npm-wanted": Target(
        run_npm_wanted,
        texts(
            '{"lockfileVersion": 3, "packages": {"node_modules/a": {"version": "1.0.0", '
            f'"integrity": "sha512-{"A" * 86}==", "os": ["!win32"], "optional": true}}}}}}'
        ),
    ),
    "releases": Target(
        run_releases, texts('{"releases": [{"version": "2.0", "files": []}], "date": "2026"}')
    ),
}
