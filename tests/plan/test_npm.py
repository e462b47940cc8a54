"""Folders of node_modules: what a lock asks for, held against a real npm where there is one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from regild.describe.reader import describe_guest
from regild.errors import Malformed, MissingFile, NotOffered
from regild.feeds.tarballs import Tarballs
from regild.model.content import Content, Package
from regild.model.digest import sha256_of
from regild.model.npm_lock import read_lock
from regild.model.recipe import NpmPart, Recipe
from regild.plan.npm import plan_node
from regild.plan.recipes import Addition, bare_plan, with_additions
from regild.plan.steps import ANYTHING
from regild.plan.wishes import Wishes
from tests.describe.guests import debian

PLACE = "/opt/web"


def build_tarball(folder: Path, name: str, version: str, **needs: str) -> dict[str, str]:
    """A package of npm, and what a lock says of it."""
    folder.mkdir(exist_ok=True)
    told = {"name": name, "version": version, "dependencies": needs, "main": "index.js"}
    files = {"package.json": json.dumps(told), "index.js": f"module.exports = '{version}'\n"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size, member.mode = len(text), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    content = gzip.compress(buffer.getvalue(), mtime=0)
    (folder / f"{name.replace('/', '-')}-{version}.tgz").write_bytes(content)
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    uri = f"https://mirror.example/{name}/-/{name}-{version}.tgz"
    return {"version": version, "resolved": uri, "integrity": f"sha512-{digest}"}


def lock_of(root: dict[str, str], **packages: Any) -> str:
    """A lock; `packages` by their places below node_modules."""
    listed = {f"node_modules/{name}": entry for name, entry in packages.items()}
    told = {"name": "web", "lockfileVersion": 3, "requires": True}
    return json.dumps({**told, "packages": {"": {"name": "web", "dependencies": root}, **listed}})


def content(**installed: str) -> Content:
    """A guest with these packages in the folder, as its own npm noted them."""
    listed = {f"node_modules/{name}": {"version": one} for name, one in installed.items()}
    hidden = json.dumps({"lockfileVersion": 3, "packages": listed})
    found = describe_guest(debian({f"{PLACE}/node_modules/.package-lock.json": hidden}))
    return replace(found, packages=(*found.packages, Package("npm", "acme", "0.1", where="/srv/x")))


def planned(folder: Path, found: Content, lock: str, mode: str = "upgrade") -> Addition:
    part = NpmPart(PLACE, lock, "tarballs")
    recipe = Recipe("web", sha256_of(b""), "site", str(folder), npm=part)
    find = Tarballs(recipe, part.tarballs).find
    wishes = Wishes(mode=mode)  # type: ignore[arg-type]  # one of the modes
    return plan_node(recipe, part, found, find, wishes, ANYTHING)


@pytest.fixture
def lock(tmp_path: Path) -> str:
    folder = tmp_path / "tarballs"
    build_tarball(folder, "acme", "1.0.0")
    acme = build_tarball(folder, "acme", "2.0.0", lib="^1.0.0")
    lib = build_tarball(folder, "lib", "1.1.0")
    return lock_of({"acme": ">=1"}, acme={**acme, "dependencies": {"lib": "^1.0.0"}}, lib=lib)


def test_the_lock_gives_exact_versions_and_digests(tmp_path: Path, lock: str) -> None:
    found = content(acme="1.0.0", old="3.0.0")
    added = planned(tmp_path, found, lock)
    assert [(one.action, one.name, one.was, one.becomes) for one in added.steps] == [
        ("upgrade", "acme", "1.0.0", "2.0.0"),
        ("install", "lib", "", "1.1.0"),
        ("remove", "old", "3.0.0", ""),
    ]
    archive = added.steps[0].archive
    assert archive is not None
    content_of = (tmp_path / "tarballs/acme-2.0.0.tgz").read_bytes()
    assert archive.digest == f"sha512:{hashlib.sha512(content_of).hexdigest()}"
    assert archive.bytes == len(content_of)
    (errand,) = added.errands
    assert errand.changes == (f"{PLACE}/node_modules", f"{PLACE}/package-lock.json")
    assert "--offline" in errand.commands[0][2]
    plan = with_additions(bare_plan(found), found, [added], ANYTHING)
    told = json.loads(lock)
    del told["packages"][""]  # as npm notes what it has installed
    hidden = {f"{PLACE}/node_modules/.package-lock.json": json.dumps(told)}
    seen = describe_guest(debian(hidden))
    npm = [one for one in seen.packages if one.type == "npm" and one.version]
    assert [one for one in plan.expected if one.where.startswith(PLACE)] == npm
    assert planned(tmp_path, replace(found, packages=plan.expected), lock) == Addition()


def test_security_and_unknown_folders_are_said(tmp_path: Path, lock: str) -> None:
    assert len(planned(tmp_path, content(acme="1.0.0"), lock, "security").skipped) == 1
    assert "no packages of npm" in planned(tmp_path, content(), lock).skipped[0].why


def test_a_tarball_that_is_not_there_is_an_error(tmp_path: Path, lock: str) -> None:
    (tmp_path / "tarballs/lib-1.1.0.tgz").unlink()
    with pytest.raises(NotOffered, match=r"lib 1\.1\.0"):
        planned(tmp_path, content(acme="1.0.0"), lock)
    shutil.rmtree(tmp_path / "tarballs")
    with pytest.raises(MissingFile):
        planned(tmp_path, content(acme="1.0.0"), lock)


SHA = f"sha512-{base64.b64encode(bytes(64)).decode()}"


@pytest.mark.parametrize(
    ("entry", "count"),
    [
        ({}, 1),
        ({"dev": True}, 0),
        ({"link": True}, 0),
        ({"optional": True, "os": ["darwin"]}, 0),
        ({"optional": True, "os": ["!win32"], "cpu": ["x64"], "libc": ["glibc"]}, 1),
        ({"optional": True, "cpu": ["arm64"]}, 0),
        ({"optional": True, "libc": ["musl"]}, 0),
    ],
)
def test_only_what_is_for_this_machine_counts(entry: dict[str, Any], count: int) -> None:
    told = {"version": "1.0.0", "integrity": SHA, **entry}
    assert len(read_lock(lock_of({}, acme=told), "it", "amd64")) == count


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"lockfileVersion": 1, "packages": {}}',
        lock_of({}, acme={"version": "1.0.0"}),
        lock_of({}, acme={"version": "1.0.0", "integrity": "sha1-AAAA"}),
        lock_of({}, acme={"version": "1.0.0", "integrity": "sha512-AAAA"}),
        lock_of({}, acme={"version": "1.0.0", "integrity": "sha512-\u00e9"}),
        lock_of({}, acme={"version": "1 0", "integrity": SHA}),
        lock_of({}, **{"../../etc": {"version": "1.0.0", "integrity": SHA}}),
        lock_of({}, acme={"version": "1.0.0", "integrity": SHA, "inBundle": True}),
    ],
)
def test_a_lock_that_does_not_vouch_for_all_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        read_lock(text, "it", "amd64")


def test_a_real_npm_installs_it_offline(tmp_path: Path, lock: str) -> None:
    """The errand's own commands, run by this machine's npm in a folder, without any network."""
    if shutil.which("npm") is None:
        pytest.skip("this machine has no npm")
    added = planned(tmp_path, content(acme="1.0.0"), lock)
    (errand,) = added.errands
    files, web = tmp_path / "files", tmp_path / "web"
    files.mkdir()
    web.mkdir()
    for file in errand.files:
        source = Path(file.uri.removeprefix("file://"))
        shutil.copyfile(source, files / file.name)
    (files / errand.texts[0].path).write_text(errand.texts[0].text)
    told = {"name": "web", "dependencies": {"acme": ">=1"}}
    (web / "package.json").write_text(json.dumps(told))
    kept = str(tmp_path / "npm")
    settings = {**os.environ, "REGILD_FILES": str(files), "HOME": str(tmp_path)}
    for command in (*errand.commands, *errand.tests):
        line = [one.replace(PLACE, str(web)).replace("/tmp/npm", kept) for one in command]
        done = subprocess.run(
            line, env=settings, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert (web / "node_modules/acme/index.js").read_text() == "module.exports = '2.0.0'\n"
    hidden = (web / "node_modules/.package-lock.json").read_text()
    seen = describe_guest(debian({f"{PLACE}/node_modules/.package-lock.json": hidden}))
    expected = [one for _, one in added.packages if one is not None]
    assert [one for one in seen.packages if one.type == "npm"] == expected
