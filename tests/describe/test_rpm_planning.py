"""The planning state of rpm: relations as rpm prints them, settings, sources, marks, keys."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import pytest

from regild.describe.reader import describe_guest
from regild.model.appliance import Descriptor
from regild.model.content import Content, Source
from regild.ovf.content import insert_descriptor, read_descriptor
from tests.describe.guests import MemoryTree, guest
from tests.describe.rpm_worlds import FILE, SLE, build, needs_rpm, rpm, sqlite_guest
from tests.ovf.samples import envelope

pytestmark = needs_rpm

OS = 'ID=fedora\nVERSION_ID="39"\nPRETTY_NAME="Fedora Linux 39"\n'
RELATIONS = {
    "Provides": ("--provides", ""),
    "Requires": ("--requires", ""),
    "Conflicts": ("--conflicts", ""),
    "Obsoletes": ("--obsoletes", ""),
    "Recommends": ("--recommends", ""),
    "Suggests": ("--suggests", ""),
    "Supplements": ("--supplements", ""),
    "Enhances": ("--enhances", ""),
}
RICH = """Epoch: 2
Vendor: A   vendor
Requires: (first >= 1 if /usr/share/asked/by-path)
Requires: /usr/share/other/asked
Recommends: (a or b)
Suggests: c < 4
Supplements: d
Enhances: e = 1:2-3
Conflicts: f <= 2
Obsoletes: g < 2~rc1
Provides: h(i)(64bit) = 3
"""
FILES = """Requires: second
%install
mkdir -p %{buildroot}/etc %{buildroot}/usr/bin %{buildroot}/usr/share/asked
touch %{buildroot}/etc/one %{buildroot}/usr/bin/two %{buildroot}/usr/share/asked/by-path
touch %{buildroot}/usr/share/asked/by-nobody
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rpm")
    release = "Provides: system-release(releasever) = 39\nProvides: system-release = 39-1\n"
    packages = [
        build(folder, "second", "2.0", RICH),
        build(folder, "third", "3.0^git1"),
        build(folder, "the-release", "40", release),
        _with_files(folder),
    ]
    rpm(folder / "db", "--initdb")
    rpm(folder / "db", "-i", "--justdb", "--nodeps", "--nosignature", *map(str, packages))
    return folder / "db"


def _with_files(folder: Path) -> Path:
    spec = folder / "files.spec"
    head = "Name: files\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n"
    listed = "/etc/one\n/usr/bin/two\n/usr/share/asked/by-path\n/usr/share/asked/by-nobody\n"
    spec.write_text(
        f"{head}%description\nd\n%install\n{FILES.partition('%install')[2]}%files\n{listed}"
    )
    argv = ["rpmbuild", "--quiet", "-bb", "--define", f"_topdir {folder}/top", str(spec)]
    subprocess.run(argv, capture_output=True, check=True)
    (found,) = (folder / "top" / "RPMS").rglob("files-1-1.*.rpm")
    return found


def described(database: Path, files: dict[str, bytes | str]) -> Content:
    own: dict[str, bytes | str] = {
        "/etc/os-release": OS,
        FILE: (database / "rpmdb.sqlite").read_bytes(),
    }
    log = database / "rpmdb.sqlite-wal"
    if log.exists():
        own[f"{FILE}-wal"] = log.read_bytes()
    return describe_guest(guest(MemoryTree({**own, **files})))


def paragraphs(content: Content) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for paragraph in content.planning.status.split("\n\n"):
        fields: dict[str, list[str]] = {}
        for line in paragraph.splitlines():
            name, _, value = line.partition(": ")
            fields.setdefault(name, []).append(value)
        found[fields["Package"][0]] = fields
    return found


def test_relations_are_those_that_rpm_prints(database: Path) -> None:
    found = paragraphs(described(database, {}))
    assert sorted(found) == ["files", "second", "the-release", "third"]
    for name, fields in found.items():
        for field, (option, _) in RELATIONS.items():
            lines = rpm(database, "-q", option, name).splitlines()
            theirs = {line.strip() for line in lines if not line.startswith("rpmlib(")}
            assert set(fields.get(field, ())) == theirs, (name, field)


def test_epoch_vendor_and_size_are_kept(database: Path) -> None:
    second = paragraphs(described(database, {}))["second"]
    assert second["Version"] == ["2:2.0-3"]
    assert second["Vendor"] == ["A vendor"]
    assert second["Size"] == ["0"]


def test_only_files_that_a_relation_can_name_are_kept(database: Path) -> None:
    files = paragraphs(described(database, {}))["files"]
    assert files["File"] == ["/etc/one", "/usr/bin/two", "/usr/share/asked/by-path"]


REPO = """# a comment
[updates]
name=Updates
baseurl=https://who:secret@mirror.example/$releasever/${basearch}/$stage/
        https://second.example/x/
enabled=1
gpgcheck=1
repo_gpgcheck=yes
gpgkey=file:///etc/pki/rpm-gpg/KEY https://mirror.example/other
excludepkgs=kernel*, foo
exclude=bar
priority=10
module_hotfixes=true
password=secret

[lists]
metalink=https://lists.example/metalink?repo=fedora-$releasever&arch=$basearch&token=secret
enabled=0
"""


def sources(content: Content) -> dict[str, Source]:
    return {one.suite: one for one in content.sources}


def test_repositories_are_sources(database: Path) -> None:
    files: dict[str, bytes | str] = {
        "/etc/yum.repos.d/fedora.repo": REPO,
        "/etc/dnf/dnf.conf": "[main]\ngpgcheck=0\nbest=True\nproxy=http://p\nexclude=a b\n",
        "/etc/dnf/vars/stage": "beta\n",
        "/etc/dnf/vars/basearch": "x86_64\n",
        "/etc/pki/rpm-gpg/KEY": b"\x99\x01\x02",
    }
    content = described(database, files)
    assert content.unknowns == ()
    found = sources(content)
    updates = found["updates"]
    assert updates.type == "rpm-md"
    assert updates.uri == "https://mirror.example/39/x86_64/beta/"
    assert updates.signed_by == ("/etc/pki/rpm-gpg/KEY", "https://mirror.example/other")
    assert updates.options == (
        "alternatives=https://second.example/x/",
        "credentials=removed",
        "excludepkgs=kernel* foo bar",
        "gpgcheck=1",
        "module_hotfixes=true",
        "priority=10",
        "repo_gpgcheck=1",
        "skip_if_unavailable=0",
    )
    lists = found["lists"]
    assert lists.uri == "https://lists.example/metalink?repo=fedora-39&arch=x86_64"
    assert not lists.enabled
    assert {"address=metalink", "credentials=removed", "gpgcheck=0"} <= set(lists.options)
    (settings,) = content.planning.settings
    assert settings.text == "best=True\nexclude=a b\ngpgcheck=0\n"
    assert [ring.path for ring in content.planning.keyrings] == ["/etc/pki/rpm-gpg/KEY"]
    assert b"secret" not in repr(content).encode()


def test_what_cannot_be_followed_is_unknown(database: Path) -> None:
    repo = "[a]\nbaseurl=http://m.example/$what/\n[b]\nname=b\n[c]\nbaseurl=cd:///\n"
    content = described(database, {"/etc/zypp/repos.d/a.repo": repo})
    whys = {one.where[-2]: one.why for one in content.unknowns}
    assert sorted(whys) == ["a", "b", "c"]
    assert whys["a"] == "what $what stands for is not known"
    defaults = {"gpgcheck=1", "repo_gpgcheck=signed"}
    assert all(defaults <= set(one.options) for one in content.sources)


def test_a_file_that_is_no_repository_is_unknown(database: Path) -> None:
    content = described(database, {"/etc/yum.repos.d/a.repo": "what is this\n"})
    assert [one.where for one in content.unknowns] == [
        "/etc/yum.repos.d/a.repo (/etc/yum.repos.d/a.repo:1)"
    ]


def test_settings_modules_locks_and_protection_are_kept(database: Path) -> None:
    content = described(
        database,
        {
            "/etc/dnf/protected.d/dnf.conf": "dnf # itself\n",
            "/etc/dnf/modules.d/perl.module": "[perl]\nstream=5.26\nstate=enabled\nprofiles=\n",
            "/etc/dnf/plugins/versionlock.list": "# why\nbash-0:5.1-*\n",
            "/etc/zypp/locks": "\ntype: package\nmatch_type: glob\nsolvable_name: vim\n",
        },
    )
    texts = {file.path: file.text for file in content.planning.settings}
    assert texts["/etc/dnf/protected.d/dnf.conf"] == "dnf\n"
    assert texts["/etc/dnf/modules.d/perl.module"] == (
        "name=perl\nstream=5.26\nstate=enabled\nprofiles=\n"
    )
    locks = {file.path: file.text for file in content.planning.preferences}
    assert locks["/etc/dnf/plugins/versionlock.list"] == "bash-0:5.1-*\n"
    assert locks["/etc/zypp/locks"] == "vim\n"


HISTORY = """
CREATE TABLE trans (id INTEGER PRIMARY KEY, state INTEGER NOT NULL);
CREATE TABLE rpm (item_id INTEGER, name TEXT, epoch INTEGER, version TEXT, release TEXT, arch TEXT);
CREATE TABLE trans_item (id INTEGER PRIMARY KEY, trans_id INTEGER, item_id INTEGER,
    action INTEGER, reason INTEGER, state INTEGER);
INSERT INTO trans VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO rpm VALUES (1, 'second', 2, '2', '3', 'noarch'), (2, 'third', 0, '3', '3', 'noarch'),
    (3, 'files', 0, '1', '1', 'noarch');
INSERT INTO trans_item VALUES (1, 1, 1, 1, 1, 1), (2, 1, 2, 1, 1, 1), (3, 2, 2, 6, 2, 1),
    (4, 1, 3, 1, 4, 1), (5, 3, 1, 6, 2, 1);
"""


def test_marks_are_the_last_reason_of_a_finished_transaction(
    database: Path, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "history") as connection:
        connection.executescript(HISTORY)
    connection.close()
    content = described(
        database, {"/var/lib/dnf/history.sqlite": (tmp_path / "history").read_bytes()}
    )
    assert content.planning.auto == ("files:noarch", "second:noarch")


def test_marks_of_the_newer_dnf_are_read(database: Path) -> None:
    toml = (
        '[packages]\n"second.noarch" = {reason = "Dependency"}\n'
        '"third.noarch" = {reason = "User"}\n'
    )
    content = described(database, {"/usr/lib/sysimage/libdnf5/packages.toml": toml})
    assert content.planning.auto == ("second:noarch",)


def test_imported_keys_are_keyrings(tmp_path: Path) -> None:
    keys = sorted(Path("/etc/apt/trusted.gpg.d").glob("*.asc"))
    if not keys:
        pytest.skip("this machine has no armoured key to import")
    rpm(tmp_path, "--initdb")
    rpm(tmp_path, "--import", str(keys[0]))
    rpm(tmp_path, "-i", "--justdb", "--nodeps", "--nosignature", str(build(tmp_path, "own", "1")))
    content = describe_guest(sqlite_guest(tmp_path))
    paths = [ring.path for ring in content.planning.keyrings]
    assert paths and all(path.startswith("gpg-pubkey-") for path in paths)


def test_the_planning_state_survives_the_descriptor(database: Path) -> None:
    content = described(database, {"/etc/yum.repos.d/a.repo": REPO.replace("$stage", "a")})
    written = insert_descriptor(envelope(), Descriptor(content=content))
    found = read_descriptor(written)
    assert found is not None
    assert found.content.planning == content.planning
    assert found.content.sources == content.sources
    assert found.content.state == content.state


def test_a_real_sle_has_relations(shared: Path) -> None:
    blob = (shared / "corpus/rpmdb/sle15-bci/Packages.db").read_bytes()
    path = "/usr/lib/sysimage/rpm/Packages.db"
    content = describe_guest(guest(MemoryTree({"/etc/os-release": SLE, path: blob})))
    found = paragraphs(content)
    assert len(found) == 35
    assert "/bin/bash" in found["bash"]["File"] or "/usr/bin/bash" in found["bash"]["File"]
    assert "SUSE LLC <https://www.suse.com/>" in found["bash"]["Vendor"]
