"""Files of apk's packages: a whole guest passes, every damage is found by the check for it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from regild.feeds.apk_file import read_shipped
from regild.feeds.shipped import ShippedPackage
from regild.image.tree import Guest, Node, NodeKind
from regild.model.content import Content, Platform
from regild.prove.apk_database import read_apk_files
from regild.prove.family import find_family
from regild.prove.scene import Scene
from tests.change.apk_guests import web
from tests.describe.guests import MemoryTree
from tests.feeds.apk_packages import Apk, Item, build, database_of

ACCOUNTS = {
    "/etc/passwd": "root:x:0:0::/:/bin/sh\nweb:x:100:101::/:/bin/false\n",
    "/etc/group": "root:x:0:\nweb:x:101:\n",
    "/etc/apk/world": "web\n",
}
NUMBERS = {"root": (0, 0), "web": (100, 101)}
KINDS: dict[bytes, NodeKind] = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "file",
}
OWN, CONF, PLAIN_FILE = "/var/lib/web/own", "/etc/web/plain.conf", "/usr/bin/web"
HELPER, DATABASE = "/usr/bin/web-helper", "/lib/apk/db/installed"


class Dressed(MemoryTree):
    """A tree that a package was unpacked into, with owners and modes."""

    def __init__(self, apk: Apk, contents: dict[str, str] | None = None) -> None:
        files: dict[str, str | bytes] = {**ACCOUNTS, **database_of((apk,))}
        self.nodes: dict[str, Node] = {}
        for name, one in apk.items.items():
            first = apk.items[one.target] if one.kind == tarfile.LNKTYPE else one
            node = Node(KINDS[one.kind], mode=first.mode, owner=NUMBERS[first.user])
            if node.kind == "file":
                files[f"/{name}"] = first.content
            self.nodes[f"/{name}"] = replace(node, target=one.target) if _is_link(one) else node
        super().__init__({**files, **(contents or {})})

    def find(self, path: str) -> Node | None:
        return self.nodes.get(path) or super().find(path)

    def change(self, path: str, **facts: object) -> None:
        self.nodes[path] = replace(self.nodes[path], **facts)

    def remove(self, path: str) -> None:
        del self.files[path], self.nodes[path]

    def edit(self, path: str, old: str, new: str) -> None:
        """Change a text that is there."""
        text = self.files[path].decode()
        assert old in text
        self.files[path] = text.replace(old, new).encode()


def _is_link(one: Item) -> bool:
    return one.kind == tarfile.SYMTYPE


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ShippedPackage:
    path = tmp_path_factory.mktemp("apk") / "web.apk"
    path.write_bytes(build(web("2.0-r0"))[0])
    return read_shipped(path, "web", "x86_64")


def guest_of(tree: Dressed) -> Guest:
    return Guest(tree, (), (), (), ())


def asked(
    tree: Dressed, package: ShippedPackage | None, before: Dressed | None = None
) -> dict[str, list[str]]:
    """What each check finds fault with."""
    scene = Scene(
        guest_of(tree),
        Content(Platform()),
        before=guest_of(before) if before else None,
        shipped=(package,) if package else None,
    )
    family = find_family(scene)
    assert family is not None
    checks = {"lists": family.lists, "files": family.shipped, "config": family.config}
    if package is None:
        checks = {"lists": family.lists, "sums": family.sums}
    told = {name: [one.what for one in ask(scene)] for name, ask in checks.items()}
    return {name: whats for name, whats in told.items() if whats}


def test_a_whole_guest_passes(package: ShippedPackage) -> None:
    assert asked(Dressed(web("2.0-r0")), package, Dressed(web("1.0-r0"))) == {}
    assert asked(Dressed(web("2.0-r0")), None) == {}


@pytest.mark.parametrize(
    ("damage", "check", "what"),
    [
        (lambda tree: tree.files.update({PLAIN_FILE: b"web 1"}), "files", PLAIN_FILE),
        (lambda tree: tree.remove(PLAIN_FILE), "files", PLAIN_FILE),
        (lambda tree: tree.change(PLAIN_FILE, mode=0o777), "files", PLAIN_FILE),
        (lambda tree: tree.change(PLAIN_FILE, owner=(5, 0)), "files", PLAIN_FILE),
        (lambda tree: tree.change(OWN, owner=(100, 0)), "files", OWN),
        (lambda tree: tree.change(HELPER, mode=0o755), "files", HELPER),
        (lambda tree: tree.change("/usr/share/web/now", target="a"), "files", "/usr/share/web/now"),
        (lambda tree: tree.change(PLAIN_FILE, kind="fifo"), "files", PLAIN_FILE),
        (lambda tree: tree.edit(DATABASE, "R:web\n", "R:other\n"), "lists", "/usr/bin/other"),
        (lambda tree: tree.edit(DATABASE, "Z:Q1", "Z:Q1AAAA"), "lists", "apk's sum of "),
        (lambda tree: tree.edit(DATABASE, "P:web\n", "P:bew\n"), "lists", "files of web"),
        (
            lambda tree: tree.files.update({"/etc/apk/world": b"web more"}),
            "lists",
            "/etc/apk/world",
        ),
        (lambda tree: tree.files.update({CONF: b"neither"}), "config", CONF),
    ],
)
def test_every_damage_is_found(
    damage: Callable[[Dressed], None], check: str, what: str, package: ShippedPackage
) -> None:
    tree = Dressed(web("2.0-r0"))
    damage(tree)
    found = asked(tree, package, Dressed(web("1.0-r0")))
    assert any(one.startswith(what) for one in found.get(check, ())), found


def test_configuration_is_as_shipped_or_as_the_site_had_it(package: ShippedPackage) -> None:
    mine = {CONF: "conf = mine"}
    assert asked(Dressed(web("2.0-r0"), mine), package, Dressed(web("1.0-r0"), mine)) == {}
    stale = Dressed(web("2.0-r0"), {CONF: "plain = 1.0-r0"})
    assert asked(stale, package, Dressed(web("1.0-r0"))) == {"config": [CONF]}


def test_without_a_plan_the_databases_sums_are_the_measure() -> None:
    tree = Dressed(web("2.0-r0"), {PLAIN_FILE: "other", CONF: "mine"})
    tree.change("/usr/share/web/now", target="elsewhere")
    assert asked(tree, None) == {"sums": [PLAIN_FILE, "/usr/share/web/now"]}
    twice = Dressed(web("2.0-r0"))
    text = twice.files[DATABASE].decode()
    twice.files[DATABASE] = (text + text.replace("P:web", "P:again")).encode()
    assert "/usr/bin/web" in asked(twice, None)["lists"]


@pytest.mark.parametrize(
    ("rules", "path", "protected"),
    [
        ("", "/etc/web/site.conf", True),
        ("", "/etc/apk/keys/a.pub", False),
        ("", "/etc/init.d/web", False),
        ("", "/usr/bin/web", False),
        ("-etc/ssl/certs/*.crt\n", "/etc/ssl/certs/all.crt", False),
        ("+usr/share/site\n", "/usr/share/site/mine", True),
        ("@opt\n", "/opt/link", False),
    ],
)
def test_what_is_protected(rules: str, path: str, protected: bool) -> None:
    tree = MemoryTree({DATABASE: "", "/etc/apk/protected_paths.d/site.list": rules})
    found = read_apk_files(tree)
    assert found is not None
    assert found.is_protected(path) is protected
