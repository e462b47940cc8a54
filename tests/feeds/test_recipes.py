"""What recipes say is available, and their files: vouched for, within the site's policy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from msgspec.structs import replace

from regild.errors import (
    DigestMismatch,
    Malformed,
    NotOffered,
    RegildError,
    RolledBack,
    SignatureRefused,
    SourceRefused,
    Truncated,
)
from regild.feeds.policy import SitePolicy
from regild.feeds.recipes import KIND, Offered, ReleaseList, fetch_files, read_offered
from regild.model.digest import Digest, sha256_of
from regild.model.dsse import sign_bytes
from regild.model.json import to_json
from regild.model.plan import Archive
from regild.model.progress import Silent
from regild.model.recipe import ApplicationRelease, Index, Recipe

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONTENT = b"the new agent"


def archive(uri: str = "acme.tgz", content: bytes = CONTENT) -> Archive:
    return Archive(uri, "acme.tgz", sha256_of(content), len(content))


def release(version: str = "2.0", uri: str = "acme.tgz") -> ApplicationRelease:
    return ApplicationRelease(version, (archive(uri),))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "acme.tgz").write_bytes(CONTENT)
    (tmp_path / "cache").mkdir()
    return Recipe("acme", sha256_of(b"it"), "site", str(folder))


def offered(recipe: Recipe, tmp_path: Path, policy: SitePolicy = SitePolicy()) -> Offered:  # noqa: B008 - a value
    return read_offered(recipe, policy, tmp_path / "cache", NOW)


def listed(recipe: Recipe, content: bytes, digest: Digest | None, key: str = "") -> Recipe:
    (Path(recipe.folder) / "acme.json").write_bytes(content)
    return replace(recipe, index=Index("acme.json", digest, key))


def text(*versions: str, date: str = "2026-05-01T00:00:00Z") -> bytes:
    return to_json(ReleaseList(tuple(map(release, versions)), date)).encode()


def test_files_beside_a_recipe_are_read_there(recipe: Recipe, tmp_path: Path) -> None:
    found = offered(replace(recipe, releases=(release(),)), tmp_path)
    (file,) = found.releases[0].files
    assert file.uri == f"file://{recipe.folder}/acme.tgz"
    wanted = [(file, recipe)]
    files = fetch_files(wanted, SitePolicy(), tmp_path / "cache", Silent())
    assert files[file.digest].read_bytes() == CONTENT
    (Path(recipe.folder) / "acme.tgz").unlink()
    assert fetch_files(wanted, SitePolicy(), tmp_path / "cache", Silent()) == files


def test_a_list_is_taken_by_its_digest(recipe: Recipe, tmp_path: Path) -> None:
    content = text("2.0", "2.1")
    found = offered(listed(recipe, content, sha256_of(content)), tmp_path)
    assert [one.version for one in found.releases] == ["2.0", "2.1"]
    assert (found.index, found.date) == (sha256_of(content), "2026-05-01T00:00:00Z")
    with pytest.raises(DigestMismatch):
        offered(listed(recipe, content + b" ", sha256_of(content)), tmp_path)


def keys() -> tuple[bytes, str]:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public.decode()


def test_a_list_is_taken_by_its_signature_and_never_an_older_one(
    recipe: Recipe, tmp_path: Path
) -> None:
    private, public = keys()
    newer = sign_bytes(text("2.1", date="2026-05-02T00:00:00Z"), KIND, private)
    older = sign_bytes(text("2.0"), KIND, private)
    assert offered(listed(recipe, newer, None, public), tmp_path).releases[0].version == "2.1"
    with pytest.raises(RolledBack):
        offered(listed(recipe, older, None, public), tmp_path)


@pytest.mark.parametrize(
    ("kind", "own", "error"),
    [(KIND, False, SignatureRefused), ("application/other", True, Malformed)],
)
def test_a_list_that_another_key_signed_or_that_is_something_else_is_refused(
    recipe: Recipe, tmp_path: Path, kind: str, own: bool, error: type[RegildError]
) -> None:
    private, public = keys()
    signed = sign_bytes(text("2.1"), kind, private)
    with pytest.raises(error):
        offered(listed(recipe, signed, None, public if own else keys()[1]), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"releases": [{"version": "two words"}]}',
        b'{"releases": [], "more": 1}',
        text("2.0").replace(b'"acme.tgz"', b'"../../etc/passwd"'),
        text("2.0").replace(b'"uri": "acme.tgz"', b'"uri": "ftp://mirror.example/a"'),
    ],
)
def test_a_list_follows_the_rules_of_a_recipe(
    recipe: Recipe, tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(Malformed):
        offered(listed(recipe, content, sha256_of(content)), tmp_path)


def fetched(recipe: Recipe, tmp_path: Path, file: Archive) -> None:
    fetch_files([(file, recipe)], SitePolicy(), tmp_path / "cache", Silent())


def test_a_file_that_is_not_what_was_promised_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    (file,) = offered(replace(recipe, releases=(release(),)), tmp_path).releases[0].files
    with pytest.raises(DigestMismatch):
        fetched(recipe, tmp_path, replace(file, digest=sha256_of(b"other")))
    with pytest.raises(Truncated):
        fetched(recipe, tmp_path, replace(file, bytes=file.bytes + 1))
    with pytest.raises(NotOffered):
        fetched(recipe, tmp_path, replace(file, uri=file.uri + "x"))


def test_nothing_outside_of_the_recipes_folder_is_read(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    (Path(recipe.folder) / "link").symlink_to(tmp_path / "secret")
    for uri in (f"file://{tmp_path}/secret", f"file://{recipe.folder}/link"):
        with pytest.raises(SourceRefused):
            fetched(recipe, tmp_path, archive(uri))


def test_an_images_recipe_reads_no_private_address(recipe: Recipe, tmp_path: Path) -> None:
    file = archive("http://127.0.0.1:1/acme.tgz")
    with pytest.raises(SourceRefused):
        fetched(replace(recipe, origin="image"), tmp_path, file)
