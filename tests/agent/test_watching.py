"""Sources that are watched: a folder, a registry, a command; each thing is taken once as it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.sites import NEW, OLD, Site, disk
from tests.agent.test_reconcile import once, points, words
from tests.cli import s3
from tests.cli.conftest import Said, regild
from tests.cli.registries import open_registry

__all__ = ["regild"]

Regild = Callable[..., Said]
COMMAND = """\
#!/bin/sh
case $1 in
names) cat {folder}/names.json ;;
pull) cp {folder}/$2.raw "$3/disk.raw"; echo '["disk.raw"]' ;;
*) echo "what is $1?" >&2; exit 3 ;;
esac
"""


@pytest.fixture
def site(tmp_path: Path, regild: Regild) -> Site:
    made = Site(tmp_path)
    made.offer("web", OLD)
    regild("image", "add", "web", *made.store)
    return made


def watch(site: Site, source: str, more: str = "") -> None:
    site.write(f'[agent.images.web]\nupdate = false\nsource = "{source}"\n{more}')


def put(source: Path, path: Path, name: str) -> None:
    """A file as somebody else wrote it a while ago."""
    target = source / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    then = time.time() - 60
    os.utime(target, (then, then))


def test_what_appears_or_changes_in_a_folder_is_the_next_generation(
    regild: Regild, site: Site, tmp_path: Path
) -> None:
    source, first = tmp_path / "incoming", disk(tmp_path / "a", "web", OLD)
    put(source, first, "Golden 12.raw")
    put(source, first, "notes.txt")
    watch(site, str(source), 'source_names = "*.raw"\n')
    assert ("imported", "web") in words(once(regild, site))
    assert points(regild, site) == [1, 1, 1]  # it goes on as any other does
    assert once(regild, site)["done"] == []
    second = disk(tmp_path / "b", "web", NEW)
    shutil.copyfile(second, source / "Golden 12.raw")
    assert once(regild, site)["done"] == []  # it may still be written
    put(source, second, "Golden 12.raw")
    once(regild, site)
    assert points(regild, site) == [2, 2, 2]
    put(source, first, "Golden 12.raw")  # what the line has already
    once(regild, site)
    assert points(regild, site) == [2, 2, 2]


@pytest.mark.slow
def test_a_prefix_of_a_bucket_is_watched_and_taken_from(
    regild: Regild, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is moto's: a stand-in for an object store, not one."""
    (tmp_path / "none").mkdir()
    with s3.serve_s3(tmp_path / "none") as endpoint:
        for name, value in {**s3.ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        prefix = f"{endpoint}/images/golden/incoming"
        first, second = (
            disk(tmp_path / one.version, "web", one).read_bytes() for one in (OLD, NEW)
        )
        s3.put(f"{prefix}/Web-12.raw", first)
        s3.put(f"{prefix}/README.txt", b"not an image")
        s3.put(f"{endpoint}/images/golden/elsewhere.raw", second)
        watch(site, "s3://images/golden/incoming", 'source_names = "*.raw"\n')
        assert words(once(regild, site)).count(("imported", "web")) == 1
        assert points(regild, site) == [1, 1, 1]
        assert once(regild, site)["done"] == []
        s3.put(f"{prefix}/Web-12.raw", second)
        once(regild, site)
        assert points(regild, site) == [2, 2, 2]
        named = ["import", "s3://images/golden", "elsewhere.raw", "--image", "other"]
        regild("image", "add", "other", *site.store)
        said = regild(*named, "--scratch", tmp_path, *site.store, "--json")
        assert said.code == 0, said.err
        (file,) = said.json["generation"]["files"]
        assert file["digest"] == f"sha256:{hashlib.sha256(second).hexdigest()}"
        refused = regild("import", "s3://images/golden", "none.raw", "--image", "web", *site.store)
        assert refused.code == 4
    answer = once(regild, site, 4)  # it is away
    assert answer["failures"][0]["subject"] == "source of web"


def test_a_registry_is_watched_by_its_digests(regild: Regild, site: Site, tmp_path: Path) -> None:
    with open_registry(tmp_path / "registry") as host:
        address = f"oci+http://{host}/golden/web:latest"
        other = ["--store", str(tmp_path / "maker")]
        regild("image", "add", "web", *other)
        for number, deb in ((1, OLD), (2, NEW)):
            made = disk(tmp_path / f"made-{number}", "web", deb)
            assert regild("publish", made, "--image", "web", *other).code == 0
            said = regild("push", f"web@{number}", address, "--scratch", tmp_path, *other)
            assert said.code == 0, said.err
            watch(site, f"oci+http://{host}/golden/web", 'source_names = "latest"\n')
            once(regild, site)
            assert points(regild, site) == [number] * 3
        assert once(regild, site)["done"] == []
    answer = once(regild, site, 4)  # it is away
    assert answer["failures"][0]["subject"] == "source of web"


def test_a_command_says_what_there_is(regild: Regild, site: Site, tmp_path: Path) -> None:
    command = tmp_path / "source"
    command.write_text(COMMAND.format(folder=tmp_path))
    command.chmod(0o755)
    shutil.copyfile(disk(tmp_path / "a", "web", OLD), tmp_path / "nightly.raw")
    (tmp_path / "names.json").write_text(json.dumps([{"name": "nightly", "mark": "1"}]))
    watch(site, f"exec://{command}")
    assert ("imported", "web") in words(once(regild, site))
    shutil.copyfile(disk(tmp_path / "b", "web", NEW), tmp_path / "nightly.raw")
    assert once(regild, site)["done"] == []
    (tmp_path / "names.json").write_text(json.dumps([{"name": "nightly", "mark": "2"}]))
    once(regild, site)
    assert points(regild, site) == [2, 2, 2]
    (tmp_path / "names.json").write_text("no list")
    assert "not understood" in once(regild, site, 4)["failures"][0]["why"]


def test_a_name_that_leads_elsewhere_is_refused(regild: Regild, site: Site, tmp_path: Path) -> None:
    command = tmp_path / "source"
    command.write_text(
        '#!/bin/sh\ncase $1 in\nnames) echo \'[{"name": "x"}]\' ;;\n'
        'pull) ln -s /etc/passwd "$3/disk.raw"; echo \'["disk.raw"]\' ;;\nesac\n'
    )
    command.chmod(0o755)
    watch(site, f"exec://{command}")
    assert "has not written" in once(regild, site, 4)["failures"][0]["why"]
