"""Groups and instances by the commands that a person types, over a real store and real disks."""

import json
import os
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]

FILE = """\
[group]
name = "web"
image = "web"
channel = "production"
driver = "folder"
size = {size}
[rollout]
{rollout}
[health]
within = "1m"
[options]
folder = "{folder}"
"""


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this test's own, with one generation in production."""
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("REGILD_ACTOR", "anna")
    return tmp_path / "store"


@pytest.fixture
def publish(regild: Regild, tmp_path: Path) -> Callable[[str], None]:
    """Publishes a disk that begins with a text, and promotes it."""
    regild("image", "add", "web")

    def make(says: str) -> None:
        raw, disk = tmp_path / "disk.raw", tmp_path / f"{says}.qcow2"
        raw.write_bytes(says.encode().ljust(1 << 20, b"\0"))
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, disk], check=True)
        said = regild("publish", disk, "--image", "web", "--channel", "production")
        assert said.code == 0, said.err

    return make


def write(tmp_path: Path, rollout: str = "", size: int = 2) -> Path:
    path = tmp_path / "web.toml"
    path.write_text(FILE.format(size=size, rollout=rollout, folder=tmp_path / "instances"))
    return path


def running(tmp_path: Path) -> list[bytes]:
    """The first bytes of each instance's disk, by following its link."""
    links = sorted((tmp_path / "instances").glob("*.disk"))
    return [link.read_bytes()[:8].rstrip(b"\0") for link in links]


def test_a_hypervisors_own_user_gets_through_whatever_the_umask(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody says a folder, instances lie beside the store."""
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "new/store"))
    before = os.umask(0o077)
    try:
        regild("image", "add", "web")
        publish("one")
        for line in (("apply", write(tmp_path)), ("rotate", "web", "--wait", 60)):
            assert regild("group", *line).code == 0
    finally:
        os.umask(before)
    new = tmp_path / "new"
    way = [new, new / "store.groups", new / "store.groups/backing", new / "store.groups/web"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in way] == [0o711] * 4
    assert not (new / "store").stat().st_mode & 0o007, "what is golden is nobody's business"


def test_a_group_is_filled_rotated_and_shown(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    valid("group", regild("group", "apply", write(tmp_path), "--json").json)
    turn = valid("group-rotate", regild("group", "rotate", "web", "--wait", 60, "--json").json)
    assert turn["group"]["rotation"]["current"] == 1
    assert running(tmp_path) == [b"one", b"one"]
    publish("two")
    assert regild("group", "rotate", "web", "--wait", 60).code == 0
    assert running(tmp_path) == [b"two", b"two"]
    shown = regild("group", "show", "web")
    assert "settled on 2" in shown.out
    assert "web@production, which is 2" in shown.out
    listed = valid("groups", regild("group", "list", "--json").json)
    assert len(listed["groups"][0]["instances"]) == 2
    assert "2 on 2" in regild("group", "list").out
    rows = valid("instances", regild("instance", "list", "web", "--json").json)
    assert {one["generation"] for one in rows["groups"]["web"]} == {2}
    events = regild("events", "web").out
    assert "rotate.settle" in events


def test_backing_disks_are_read_only_and_go_when_nothing_stands_on_them(
    regild: Regild, publish: Callable[[str], None], kept: Path, tmp_path: Path
) -> None:
    publish("one")
    regild("group", "apply", write(tmp_path))
    regild("group", "rotate", "web", "--wait", 60)
    for says in ("two", "three"):
        publish(says)
        regild("group", "rotate", "web", "--wait", 60)
    backing = sorted((kept.with_name("store.groups") / "backing").iterdir())
    assert [path.name.split("-")[1] for path in backing] == ["2", "3"], "the way back stays"
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in backing)
    # A hypervisor's own user gets to a disk whose name it was told, and nobody sees the names.
    assert stat.S_IMODE(backing[0].parents[1].stat().st_mode) == 0o711
    assert stat.S_IMODE(kept.stat().st_mode) & 0o007 == 0


def test_a_request_is_answered_by_one_instance_each_and_given_back(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    regild("group", "apply", write(tmp_path, size=0))
    asked = ("instance", "request", "web", "--user", "anna", "--wait", 30, "--json")
    first = valid("instance", regild(*asked).json)
    assert regild(*asked).json["instance"]["name"] == first["instance"]["name"]
    name = first["instance"]["name"]
    assert first["instance"]["owner"] == "anna"
    assert len(running(tmp_path)) == 1
    assert regild("instance", "release", "web", name).code == 0
    regild("group", "rotate", "web")
    assert running(tmp_path) == []
    wrong = regild("instance", "request", "web", "--user", "../anna")
    assert (wrong.code, "is no user" in wrong.err) == (2, True)
    gone = regild("instance", "release", "web", name)
    assert "no such instance" in gone.err


def test_a_wave_is_approved_and_what_was_given_up_is_tried_again(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    regild("group", "apply", write(tmp_path, 'approval = "canary"'))
    regild("group", "rotate", "web", "--wait", 60)
    refused = regild("group", "approve", "web")
    assert "nobody waits" in refused.err
    publish("two")
    # The canary is ready at once here, so one wait brings the group to the question.
    for _ in range(4):
        waits = regild("group", "rotate", "web").out
    assert "regild group approve web" in waits
    assert "wave 2 of web@2" in regild("group", "show", "web").out
    assert regild("group", "approve", "web", "--why", "looks good").code == 0
    regild("group", "rotate", "web", "--wait", 60)
    assert running(tmp_path) == [b"two", b"two"]
    again = regild("group", "resume", "web")
    assert (again.code, "was not given up" in again.err) == (2, True)


def test_a_generation_that_was_given_up_is_said_at_every_turn(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    regild("group", "apply", write(tmp_path))
    assert regild("group", "rotate", "web", "--wait", 60).code == 0
    (tmp_path / "instances/web-3.status").write_text('{"running": false}')
    publish("two")
    for _ in range(2):
        turn = regild("group", "rotate", "web", "--wait", 60)
        assert turn.code == 14
        assert "generation 2 of web in group web was given up: 1 of 1 instances" in turn.err
        assert "regild group resume" in turn.err
    assert running(tmp_path) == [b"one", b"one"]
    assert valid("group-rotate", regild("group", "rotate", "web", "--json").json)
    publish("three")
    assert regild("group", "rotate", "web", "--wait", 60).code == 0
    assert running(tmp_path) == [b"three", b"three"]


def test_scaling_and_what_cannot_be(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    regild("group", "apply", write(tmp_path))
    assert regild("group", "scale", "web", 3).code == 0
    regild("group", "rotate", "web", "--wait", 60)
    assert len(running(tmp_path)) == 3
    wrong = regild("group", "apply", write(tmp_path, "max_surge = 0"))
    assert wrong.code == 14
    assert "line 8, " not in wrong.err and "line 8" in wrong.err and "both 0" in wrong.err
    unknown = regild("group", "show", "other")
    assert "no group has this name" in unknown.err


def test_a_freeze_of_the_site_holds_every_group(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    regild("group", "apply", write(tmp_path))
    regild("group", "rotate", "web", "--wait", 60)
    event = "BEGIN:VEVENT\r\nUID:1\r\nDTSTART:20200101T000000Z\r\nDTEND:20990101T000000Z\r\n"
    told = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{event}END:VEVENT\r\nEND:VCALENDAR\r\n"
    (tmp_path / "sale.ics").write_text(told)
    valid("freezes", regild("freeze", "add", "sale", tmp_path / "sale.ics", "--json").json)
    publish("two")
    waits = regild("group", "rotate", "web")
    assert "in a window; the next one: none is known" in waits.out
    assert running(tmp_path) == [b"one", b"one"]
    assert "sale" in regild("freeze", "list").out
    (tmp_path / "junk.ics").write_text("no calendar")
    assert (
        f"{tmp_path}/junk.ics is malformed"
        in regild("freeze", "add", "junk", tmp_path / "junk.ics").err
    )
    assert regild("group", "rotate", "web", "--force", "--wait", 60).code == 0
    assert running(tmp_path) == [b"two", b"two"]
    assert json.loads(regild("freeze", "remove", "sale", "--json").out)["freezes"] == []


CALENDAR = """\
BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:x\r
BEGIN:VEVENT\r
UID:1\r
DTSTART:{begin}\r
DTEND:{end}\r
END:VEVENT\r
END:VCALENDAR\r
"""


@pytest.mark.parametrize(
    ("setting", "begin", "end", "why"),
    [
        ("windows", "20200101T000000Z", "20200101T040000Z", "opens at no time"),
        ("freezes", "20200101T000000Z", "20990101T040000Z", "opens at no time"),
        ("windows", "{soon}T000000Z", "{soon}T000030Z", "is never open for 0:01:00"),
    ],
)
def test_a_window_that_never_opens_is_refused(
    regild: Regild, tmp_path: Path, setting: str, begin: str, end: str, why: str
) -> None:
    soon = f"{datetime.now(UTC) + timedelta(days=20):%Y%m%d}"
    told = CALENDAR.format(begin=begin, end=end).format(soon=soon)
    (tmp_path / "never.ics").write_bytes(told.encode())
    path = write(tmp_path)
    path.write_text(path.read_text() + f'[calendar]\n{setting} = "never.ics"\n')
    regild("image", "add", "web")
    said = regild("group", "apply", path, "--json")
    error = valid("error", said.json)["error"]
    assert (said.code, error["kind"]) == (14, "GroupRefused")
    line = len(path.read_text().splitlines())
    assert f"line {line} " in error["sentence"]
    assert f"{setting}: {why}" in error["sentence"]
    assert regild("group", "show", "web").code == 4


def test_every_version_of_a_groups_file_can_be_had_again(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    texts = []
    for size in (2, 3):
        path = write(tmp_path, size=size)
        texts.append(path.read_text())
        assert regild("group", "apply", path).code == 0
    told = valid("group-history", regild("group", "history", "web", "--json").json)
    assert [(one["version"], one["actor"], one["text"]) for one in told["versions"]] == [
        (1, "anna", texts[0]),
        (2, "anna", texts[1]),
    ]
    path.write_text(regild("group", "history", "web", "--version", 1).out)
    assert path.read_text() == texts[0]
    assert regild("group", "apply", path, "--json").json["version"] == 3
    assert [line.split()[0] for line in regild("group", "history", "web").out.splitlines()] == [
        "VERSION",
        "1",
        "2",
        "3",
    ]
    for wrong in (("other",), ("web", "--version", 9)):
        assert regild("group", "history", *wrong).code == 4


@pytest.mark.parametrize(
    ("here", "instead", "line", "why"),
    [
        ('driver = "folder"', 'driver = "vmware"', 5, "driver: there are exec, folder, libvirt"),
        ('driver = "folder"', 'driver = "exec"', 11, "look: no command is given"),
        ("[options]", '[calendar]\nwindows = "junk.ics"\n[options]', 12, "it is not iCalendar"),
    ],
)
def test_what_a_group_names_is_looked_at_and_the_line_is_said(
    regild: Regild, tmp_path: Path, here: str, instead: str, line: int, why: str
) -> None:
    (tmp_path / "junk.ics").write_text("no calendar\n")
    path = write(tmp_path)
    text = path.read_text()
    assert here in text
    path.write_text(text.replace(here, instead))
    regild("image", "add", "web")
    said = regild("group", "apply", path, "--json")
    assert (said.code, valid("error", said.json)["error"]["kind"]) == (14, "GroupRefused")
    assert f"{path}, line {line} cannot be used" in said.json["error"]["sentence"]
    assert why in said.json["error"]["sentence"]
    assert regild("group", "show", "web").code == 4


def test_a_group_with_instances_is_removed_only_when_it_is_said_what_becomes_of_them(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    regild("group", "apply", write(tmp_path))
    assert regild("group", "rotate", "web", "--wait", "5").code == 0
    refused = regild("group", "remove", "web", "--json")
    assert refused.code == 14
    assert valid("error", refused.json)["error"]["kind"] == "StillRunning"
    assert "web-1, web-2" in refused.err
    assert regild("group", "remove", "web", "--stop", "--leave").code == 2
    assert regild("group", "show", "web").code == 0
    removed = regild("group", "remove", "web", "--stop", "--why", "no need", "--json")
    assert valid("group-remove", removed.json)["stopped"] == ["web-1", "web-2"]
    assert not list((tmp_path / "instances").glob("*.disk"))
    assert regild("group", "show", "web").code == 4
    assert regild("instance", "list", "--json").json["groups"] == {}
    assert regild("events", "web", "--json").json["events"][-1]["kind"] == "group.remove"


def test_a_group_whose_platform_is_away_is_removed_only_without_its_instances(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path
) -> None:
    publish("one")
    regild("group", "apply", write(tmp_path))
    regild("group", "rotate", "web", "--wait", "5")
    (tmp_path / "instances" / "web-1.json").write_text("half")
    assert regild("group", "remove", "web", "--stop").code == 14
    assert regild("group", "show", "web").code == 0
    assert regild("group", "remove", "web", "--leave").code == 0
    assert (tmp_path / "instances" / "web-2.disk").is_symlink()
    assert regild("group", "remove", "web").code == 4


def test_instances_of_an_earlier_version_stay_in_sight(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path, kept: Path
) -> None:
    publish("one")
    path = write(tmp_path)
    path.write_text(path.read_text().partition("[options]")[0])
    inside, beside = kept / "groups", kept.with_name("store.groups")
    regild("group", "apply", path)
    assert regild("group", "rotate", "web", "--state", inside).code == 0  # as it was once
    before = sorted(inside.rglob("*.disk"))
    assert len(before) == 2

    said = regild("group", "rotate", "web", "--json")
    assert (said.code, said.json["done"]) == (0, [])
    assert sorted(inside.rglob("*.disk")) == before
    assert not list(beside.rglob("*.disk"))

    (beside / "backing").mkdir(parents=True, exist_ok=True)
    (beside / "backing" / "web-1.raw").touch()
    said = regild("group", "rotate", "web")
    assert said.code == 2
    assert f"{inside}, as by an earlier version, and in {beside}: say with --state" in said.err
    assert regild("group", "rotate", "web", "--state", inside).code == 0


def test_a_new_stores_instances_are_beside_it(
    regild: Regild, publish: Callable[[str], None], tmp_path: Path, kept: Path
) -> None:
    publish("one")
    path = write(tmp_path)
    path.write_text(path.read_text().partition("[options]")[0])
    regild("group", "apply", path)
    assert regild("group", "rotate", "web").code == 0
    assert len(list(kept.with_name("store.groups").rglob("*.disk"))) == 2
    assert not (kept / "groups").exists()
