"""SELinux labels: the same as libselinux's own matchpathcon gives, whatever the rules' order."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from regild.change.selinux import (
    AUTORELABEL,
    Contexts,
    Rule,
    ask_for_all,
    find_policy,
    read_contexts,
    relabel,
)
from regild.errors import Malformed
from regild.model.record import Attribute, Entry, Inode, Kind, Record

needs_matchpathcon = pytest.mark.skipif(
    shutil.which("matchpathcon") is None, reason="selinux-utils is not installed here"
)
POLICY = "/etc/selinux/targeted"
FILES = {
    "file_contexts": """\
# a comment
/.* u:r:default_t:s0
/usr/.* u:r:usr_t:s0
/usr/(.*/)?bin(/.*)? u:r:bin_t:s0
/usr/bin/su -- u:r:su_exec_t:s0
/etc(/.*)? u:r:etc_t:s0
/etc/shadow.* -- u:r:shadow_t:s0
/etc/web -d u:r:web_dir_t:s0
/etc/web\\.d/[^/]+\\.conf -- u:r:web_conf_t:s0
/run/.* <<none>>
/var/lib/x\\.y u:r:exact_t:s0
/var/lib/x.y u:r:pattern_t:s0
/srv/(a|b)c? u:r:choice_t:s0
/srv/ab? u:r:optional_t:s0
""",
    "file_contexts.homedirs": "/home/[^/]+ -d u:r:user_home_dir_t:s0\n/home/.+ u:r:home_t:s0\n",
    "file_contexts.local": "/etc/web/.* u:r:local_t:s0\n/usr/bin/own u:r:own_t:s0\n",
    # One fits at most: libselinux 3.4 takes the last that does, as we do, and 3.8 the first.
    "file_contexts.subs_dist": "/lib /usr/lib\n/own /srv\n/opt/a /etc\n",
    "file_contexts.subs": "/mine /opt/a\n",
}
WORDS = (
    "usr bin su own lib lib64 etc shadow shadow- web web.d a.conf run x.y xzy var srv a b ac abc ab"
    " home u opt mine lost+found"
)


def put(root: Path, config: str = "SELINUX=enforcing\nSELINUXTYPE=targeted\n") -> Path:
    place = root / POLICY.lstrip("/") / "contexts/files"
    place.mkdir(parents=True)
    for name, text in FILES.items():
        (place / name).write_text(text)
    (root / "etc/selinux/config").write_text(config)
    return place


def contexts_of(root: Path) -> Contexts:
    found = read_contexts(root, POLICY)
    assert found is not None
    return found


@needs_matchpathcon
def test_labels_are_those_of_libselinux(tmp_path: Path) -> None:
    place = put(tmp_path)
    ours = contexts_of(tmp_path)
    dice, words = random.Random(7), WORDS.split()
    paths = {"/" + "/".join(dice.choices(words, k=dice.randint(1, 4))) for _ in range(1500)}
    asked: dict[Kind, str] = {"file": "file", "directory": "dir", "symlink": "symlink"}
    for kind, name in asked.items():
        told = subprocess.run(
            ["matchpathcon", "-f", str(place / "file_contexts"), "-m", name, *sorted(paths)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        expected = dict(line.split("\t") for line in told.splitlines())
        found = {path: ours.find_label(path, kind) or "<<none>>" for path in paths}
        assert found == expected


@pytest.mark.parametrize(
    "config",
    ["SELINUX=disabled\n", "", "SELINUX=enforcing\nSELINUXTYPE=../../etc\n", "# SELINUX=enforcing"],
)
def test_a_guest_without_a_policy_in_force_has_no_labels(tmp_path: Path, config: str) -> None:
    put(tmp_path, config)
    assert find_policy(tmp_path) is None


def test_a_policy_behind_a_link_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "host")
    (tmp_path / "guest").mkdir()
    (tmp_path / "guest/etc").symlink_to(tmp_path / "host/etc")
    assert find_policy(tmp_path / "guest") is None


def entry(path: str, was: bytes | None, becomes: bytes | None, link_to: str = "") -> Entry:
    inodes = [
        Inode("file", attributes=(Attribute("security.selinux", one),) if one else ())
        for one in (was, becomes)
    ]
    return Entry(path, inodes[0], inodes[1], link_to=link_to)


def labels(*entries: Entry, rules: tuple[Rule, ...]) -> list[bytes]:
    record = relabel(Record(entries, 0), Contexts(rules))
    return [
        {row.name: row.value for row in one.becomes.attributes}.get("security.selinux", b"")
        for one in record.entries
    ]


def test_what_has_a_label_keeps_it_and_what_lost_it_gets_the_policys() -> None:
    rules = (Rule("/etc/.*", None, "etc_t"), Rule("/run/.*", None, "<<none>>"))
    assert labels(
        entry("/etc/kept", b"own\0", b"own\0"),
        entry("/etc/replaced", b"own\0", None),
        entry("/etc/new", None, None),
        entry("/run/none", b"own\0", None),
        entry("/other", None, None),
        rules=rules,
    ) == [b"own\0", b"etc_t\0", b"etc_t\0", b"own\0", b""]


def test_all_names_of_a_file_have_the_label_of_the_first() -> None:
    rules = (Rule("/a/.*", None, "a_t"), Rule("/b/.*", None, "b_t"))
    first, second = entry("/a/x", None, None), entry("/b/x", None, None, link_to="/a/x")
    assert labels(first, second, rules=rules) == [b"a_t\0", b"a_t\0"]


def test_a_pattern_that_cannot_be_followed_is_said() -> None:
    with pytest.raises(Malformed, match="unterminated"):
        labels(entry("/etc/x", None, None), rules=(Rule("/etc/[x", None, "etc_t"),))


def test_a_new_list_of_labels_has_all_labelled_at_the_next_start(tmp_path: Path) -> None:
    tree, merged = tmp_path / "tree", tmp_path / "merged"
    put(tree)
    place = put(merged)
    assert not ask_for_all(merged, tree, POLICY)
    (place / "file_contexts.local").write_text("/etc/more u:r:more_t:s0\n")
    assert ask_for_all(merged, tree, POLICY)
    assert (merged / AUTORELABEL.lstrip("/")).is_file()
