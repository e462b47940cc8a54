"""What npm, gem, snap and flatpak leave in a guest; real where the tool is on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from packageurl import PackageURL

from regild.describe import languages
from regild.describe.reader import describe_guest
from regild.model.content import Content
from tests.describe.guests import FolderTree, debian, guest, paragraph

NODE = "/usr/local/lib/node_modules"


def found(content: Content) -> list[tuple[str, str, str]]:
    return [(one.type, one.name, one.version) for one in content.packages if one.type != "deb"]


def test_global_packages_of_npm_are_listed_with_their_scopes() -> None:
    content = describe_guest(
        debian(
            {
                f"{NODE}/pm2/package.json": json.dumps({"name": "pm2", "version": "5.3.0"}),
                f"{NODE}/@vue/cli/package.json": '{"name": "@vue/cli", "version": "5.0.8-rc.1"}',
                f"{NODE}/.bin/pm2": "",
            }
        )
    )
    assert content.unknowns == ()
    assert found(content) == [("npm", "@vue/cli", "5.0.8-rc.1"), ("npm", "pm2", "5.3.0")]
    for one in content.packages:
        parsed = PackageURL.from_string(one.purl)
        name = "/".join(filter(None, (parsed.namespace, parsed.name)))
        assert name == one.name or one.type == "deb"


def test_a_lockfile_answers_for_all_packages_of_an_application() -> None:
    lock = {
        "lockfileVersion": 3,
        "packages": {
            "node_modules/a": {"version": "1.0.0"},
            "node_modules/a/node_modules/@s/b": {"version": "2.0.0"},
            "node_modules/alias": {"name": "real", "version": "3.0.0"},
            "node_modules/linked": {"link": True, "resolved": "../x"},
        },
    }
    app = "/opt/shop/node_modules"
    content = describe_guest(
        debian({f"{app}/.package-lock.json": json.dumps(lock), f"{app}/a/package.json": "no json"})
    )
    assert content.unknowns == ()
    assert {one[1:] for one in found(content)} == {
        ("a", "1.0.0"),
        ("@s/b", "2.0.0"),
        ("real", "3.0.0"),
    }


def test_gems_are_named_by_their_specifications() -> None:
    folder = "/var/lib/gems/3.1.0/specifications"
    names = ("rack-3.0.8", "rack-test-2.1.0", "nokogiri-1.15.4-x86_64-linux", "a-1.0.0.pre2")
    content = describe_guest(debian({f"{folder}/{name}.gemspec": "" for name in names}))
    assert found(content) == [
        ("gem", "a", "1.0.0.pre2"),
        ("gem", "nokogiri", "1.15.4"),
        ("gem", "rack", "3.0.8"),
        ("gem", "rack-test", "2.1.0"),
    ]


def test_snaps_and_flatpaks_are_known_by_name() -> None:
    content = describe_guest(
        debian(
            {
                "/var/lib/snapd/snaps/core22_1033.snap": "",
                "/var/lib/snapd/snaps/core22_982.snap": "",
                "/var/lib/snapd/snaps/partial/x": "",
                "/var/lib/flatpak/app/org.gimp.GIMP/current/x": "",
                "/var/lib/flatpak/runtime/org.gnome.Platform/x86_64/x": "",
            }
        )
    )
    assert sorted((one.name, one.where.rpartition("/")[2]) for one in content.applications) == [
        ("core22", "core22_1033.snap"),
        ("org.gimp.GIMP", "org.gimp.GIMP"),
        ("org.gnome.Platform", "org.gnome.Platform"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{" * 100_000,
        "[" * 100_000,
        '{"name": "../x", "version": "1"}',
        '{"name": "x"}',
        '{"name": "x", "version": {"a": 1}}',
        '{"name": "x", "version": "\x1b[2J"}',
        b"\xff\xfe\x00",
        '{"name": "x", "version": ' + "9" * 100_000 + "}",
    ],
)
def test_what_is_no_package_is_unknown(content: str | bytes) -> None:
    for path in (f"{NODE}/x/package.json", f"{NODE}/.package-lock.json"):
        described = describe_guest(debian({path: content}))
        assert found(described) == []
        assert [one.where.startswith(NODE) for one in described.unknowns] == [True]


def test_packages_without_end_are_unknown() -> None:
    files = {f"{NODE}/p{n}/package.json": f'{{"name":"p{n}","version":"1"}}' for n in range(2001)}
    content = describe_guest(debian({**files, "/var/lib/dpkg/status": paragraph("dpkg")}))
    assert any("more than 2000" in one.why for one in content.unknowns)


def test_packages_that_hold_one_another_are_unknown_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "PACKAGES_LIMIT", 40)
    modules = tmp_path / "srv/app/node_modules"
    modules.mkdir(parents=True)
    (tmp_path / "srv/app/package.json").write_text('{"name": "app", "version": "1"}')
    for name in "abcd":
        (modules / name).symlink_to("..")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    content = describe_guest(guest(FolderTree(tmp_path)))
    assert len(content.packages) <= 41
    assert any("more than 40" in one.why for one in content.unknowns)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed here")
def test_a_tree_that_npm_made_is_listed_as_npm_lists_it(tmp_path: Path) -> None:
    """Packages made here, so that no registry is asked."""
    for name, version in (("one", "1.2.3"), ("two", "4.5.6")):
        (tmp_path / name).mkdir()
        stated = {"name": f"@own/{name}", "version": version}
        (tmp_path / name / "package.json").write_text(json.dumps(stated))
        subprocess.run(["npm", "pack", "--silent"], cwd=tmp_path / name, check=True)
    app = tmp_path / "root/opt/app"
    app.mkdir(parents=True)
    (app / "package.json").write_text('{"name": "app", "version": "1.0.0"}')
    packs = [str(path) for path in tmp_path.glob("*/*.tgz")]
    options = ["--offline", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(["npm", "install", *options, *packs], cwd=app, check=True)
    (tmp_path / "root/etc").mkdir()
    (tmp_path / "root/etc/os-release").write_text("ID=debian\n")
    said = subprocess.run(["npm", "ls", "--json"], cwd=app, capture_output=True, check=True).stdout
    theirs = sorted((k, v["version"]) for k, v in json.loads(said)["dependencies"].items())
    content = describe_guest(guest(FolderTree(tmp_path / "root")))
    assert (
        [one[1:] for one in found(content)]
        == theirs
        == [
            ("@own/one", "1.2.3"),
            ("@own/two", "4.5.6"),
        ]
    )
