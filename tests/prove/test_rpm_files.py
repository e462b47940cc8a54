"""Files of rpm's packages: a whole guest passes, every damage is found by the check for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from regild.feeds.rpm_file import open_package
from regild.image.tree import Guest, Node
from regild.model.content import Content, Platform
from regild.model.rpm_files import RpmFile, RpmPackage
from regild.prove.family import find_family
from regild.prove.rpm_database import RpmFiles, read_accounts
from regild.prove.scene import Scene
from tests.change.rpm_apps import App, build_apps
from tests.describe.guests import MemoryTree
from tests.feeds.rpm_repositories import needs_createrepo

pytestmark = needs_createrepo

ACCOUNTS = {
    "/etc/passwd": "root:x:0:0::/:/bin/sh\ntool:x:990:980::/:/bin/false\n",
    "/etc/group": "root:x:0:\ntool:x:980:\n",
}
NUMBERS = {"root": 0, "tool": 990}, {"root": 0, "tool": 980}
CONF, REPLACED, PLAIN = "/etc/tool/own.conf", "/etc/tool/replaced.conf", "/usr/bin/tool"


def tool(version: str) -> App:
    return App(
        "tool",
        version,
        {PLAIN: f"tool {version}", CONF: f"conf {version}", REPLACED: f"replaced {version}"},
        install=(
            "ln -s tool %{buildroot}/usr/bin/t",
            "mkdir -p %{buildroot}/var/lib/tool %{buildroot}/var/log",
            "mkdir -p %{buildroot}/usr/share/tool && echo x > %{buildroot}/usr/share/tool/free",
        ),
        dress={PLAIN: "%attr(4755,root,root) ", CONF: "%config(noreplace) ", REPLACED: "%config "},
        listed=(
            "/usr/bin/t",
            "%attr(750,tool,tool) %dir /var/lib/tool",
            "%verify(not md5 size mtime mode) /usr/share/tool/free",
            "%ghost /var/log/tool",
        ),
    )


class Dressed(MemoryTree):
    """A tree whose nodes have owners and modes."""

    def __init__(self, package: RpmPackage, contents: dict[str, str]) -> None:
        super().__init__({**ACCOUNTS, **contents})
        self.nodes = {one.path: node_of(one) for one in package.files() if not one.is_ghost}

    def find(self, path: str) -> Node | None:
        return self.nodes.get(path) or super().find(path)


def node_of(one: RpmFile) -> Node:
    assert one.kind != "absent"
    owner = NUMBERS[0][one.user], NUMBERS[1][one.group]
    return Node(one.kind, one.bytes, one.mode, one.target, owner)


def contents(version: str) -> dict[str, str]:
    made = {PLAIN: f"tool {version}\n", CONF: f"conf {version}\n", "/usr/share/tool/free": "x\n"}
    return {**made, REPLACED: f"replaced {version}\n"}


class Patient:
    """A guest after an update of one package, to be damaged."""

    def __init__(self, old: RpmPackage, new: RpmPackage) -> None:
        self.before = Dressed(old, contents("1"))
        self.tree = Dressed(new, contents("2"))
        self.rpm = RpmFiles((new,), (old,), (new,))
        self.old = old

    def found(self) -> dict[str, list[str]]:
        """What each question of the family answers, by the path."""
        content = Content(Platform("linux", "fedora", "39", "", "Fedora", "x86_64"))
        guest, before = (Guest(tree, (), (), (), ()) for tree in (self.tree, self.before))
        scene = Scene(guest, content, before=before, rpm=self.rpm, shipped=())
        family = find_family(scene)
        assert family is not None
        asked = {"lists": family.lists, "files": family.shipped, "config": family.config}
        told = {name: [one.what for one in ask(scene)] for name, ask in asked.items()}
        return {name: whats for name, whats in told.items() if whats}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[RpmPackage, RpmPackage]:
    built = build_apps(tmp_path_factory.mktemp("tool"), (tool("1"), tool("2")))
    old, new = (open_package(path) for path in built)
    return old, new


@pytest.fixture
def patient(packages: tuple[RpmPackage, RpmPackage]) -> Patient:
    return Patient(*packages)


def test_a_whole_guest_passes(patient: Patient) -> None:
    assert patient.found() == {}


def test_what_the_package_gives_free_passes(patient: Patient) -> None:
    patient.tree.files["/usr/share/tool/free"] = b"other"
    patient.tree.nodes["/usr/share/tool/free"] = Node("file", 5, 0o600, owner=(0, 0))
    assert patient.found() == {}


def test_what_the_site_had_changed_passes(patient: Patient) -> None:
    patient.before.files[CONF] = patient.tree.files[CONF] = b"mine"
    assert patient.found() == {}


def write(path: str, text: bytes) -> Callable[[Patient], None]:
    return lambda patient: patient.tree.files.__setitem__(path, text)


def dress(path: str, **facts: object) -> Callable[[Patient], None]:
    def act(patient: Patient) -> None:
        patient.tree.nodes[path] = replace(patient.tree.nodes[path], **facts)

    return act


def forget(path: str) -> Callable[[Patient], None]:
    def act(patient: Patient) -> None:
        patient.tree.files.pop(path, None)
        del patient.tree.nodes[path]

    return act


def lose_package(patient: Patient) -> None:
    patient.rpm = RpmFiles((patient.old,), (patient.old,), patient.rpm.planned)


def lose_account(patient: Patient) -> None:
    patient.tree.files["/etc/passwd"] = b"root:x:0:0::/:/bin/sh\n"


DAMAGE: dict[str, tuple[Callable[[Patient], None], str, str]] = {
    "another content": (write(PLAIN, b"tool 3\n"), "files", PLAIN),
    "the old content": (write(PLAIN, b"tool 1\n"), "files", PLAIN),
    "a file that is gone": (forget(PLAIN), "files", PLAIN),
    "setuid lost": (dress(PLAIN, mode=0o755), "files", PLAIN),
    "setgid gained": (dress(PLAIN, mode=0o6755), "files", PLAIN),
    "another owner": (dress(PLAIN, owner=(990, 0)), "files", PLAIN),
    "another group": (dress("/var/lib/tool", owner=(990, 0)), "files", "/var/lib/tool"),
    "a folder open to all": (dress("/var/lib/tool", mode=0o777), "files", "/var/lib/tool"),
    "a link elsewhere": (dress("/usr/bin/t", target="/etc"), "files", "/usr/bin/t"),
    "a link that is gone": (forget("/usr/bin/t"), "files", "/usr/bin/t"),
    "a file for a link": (dress("/usr/bin/t", kind="file"), "files", "/usr/bin/t"),
    "a pipe for a file": (dress(PLAIN, kind="fifo"), "files", PLAIN),
    "an account that is not there": (lose_account, "files", "/var/lib/tool"),
    "a configuration nobody wrote": (write(CONF, b"whose?"), "config", CONF),
    "a configuration left behind": (write(CONF, b"conf 1\n"), "config", CONF),
    "a configuration that is gone": (forget(REPLACED), "config", REPLACED),
    "a database that did not follow": (lose_package, "lists", "files of tool"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_every_damage_is_found(name: str, patient: Patient) -> None:
    damage, check, what = DAMAGE[name]
    damage(patient)
    assert what in patient.found().get(check, []), patient.found()


def test_a_number_of_an_account_that_is_none_is_passed_over() -> None:
    lines = (
        "good:x:7:7::/:/bin/sh\nodd:x:1234567890abc:7::/:/bin/sh\nlong:x:" + "9" * 5000 + ":7:::\n"
    )
    tree = MemoryTree({"/etc/passwd": lines, "/etc/group": ""})
    users, groups = read_accounts(Guest(tree, (), (), (), ()))
    assert (users, groups) == ({"root": 0, "good": 7}, {"root": 0})
