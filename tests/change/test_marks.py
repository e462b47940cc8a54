"""Once the guest's apt has made a plan, marks are as apt itself would have left them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.change.apt import ENVIRONMENT, FOLDERS, SETTINGS, compile_plan, write_index
from regild.change.repository import link_archives
from regild.change.script import PLACE, STATE
from regild.host.run import run
from regild.model.content import Content, Planning, TextFile
from regild.model.plan import Mark, Mode, Plan, Step
from regild.plan.libsolv import open_libsolv
from regild.plan.wishes import Wishes
from tests.change.guests import Result, build_deb, guest_of, plan_of
from tests.feeds.repositories import Deb, content_of
from tests.plan.marks_asked import read_marks, written_marks
from tests.plan.test_worlds import MAIN, SECURITY, World, needs, oracle

SECTIONS = (
    'APT::Never-MarkAuto-Sections:: "metapackages";\nAPT::Move-Autobit-Sections:: "oldlibs";\n'
)
DPKG = "DPkg::Options"


def make(folder: Path, plan: Plan, content: Content, mirror: Path) -> None:
    """What the guest's apt does for a plan, with dpkg in a folder of its own."""
    place, state, root = folder / "place", folder / "state", folder / "root"
    database = root / "var/lib/dpkg"
    for path in (place, *(state / name for name in FOLDERS), database / "info", root / "tmp"):
        path.mkdir(parents=True)
    (database / "updates").mkdir()
    (database / "status").write_text(content.planning.status)
    titles = (one.partition(":")[::2] for one in content.planning.auto)
    marks = (f"Package: {a}\nArchitecture: {b}\nAuto-Installed: 1\n" for a, b in titles)
    (folder / "extended_states").write_text("\n".join(marks))
    archives = [step.archive for step in plan.steps if step.archive]
    files = {one.digest: mirror / "pool" / Path(one.uri).name for one in archives}
    entries = {
        digest: run(["dpkg-deb", "-f", path], purpose="to list it").stdout.decode()
        for digest, path in files.items()
    }
    link_archives(place, plan, files)
    write_index(place, plan, entries, Planning("deb"))
    own = (
        f'Dir::State "{folder}"; Dir::State::status "{database}/status"; Dir::Log "{folder}";'
        f'Debug::NoLocking "1"; DPkg::Path "/usr/sbin:/usr/bin:/sbin:/bin";\n'
        f'{DPKG}:: "--root={root}"; {DPKG}:: "--force-script-chrootless";'
        f'{DPKG}:: "--log={root}/log";'
    )
    for name in ("apt.conf", "sources.list"):
        text = (place / name).read_text() + (own if name == "apt.conf" else "")
        (place / name).write_text(text.replace(PLACE, str(place)).replace(STATE, str(state)))
    env = {**ENVIRONMENT, "APT_CONFIG": str(place / "apt.conf"), "SOURCE_DATE_EPOCH": "1"}
    for command in compile_plan(plan):
        if command.argv[0].startswith("apt-"):
            run(command.argv, purpose=command.what, env=env)


def test_the_settings_of_a_guest_are_not_read_where_a_plan_is_made() -> None:
    """They have decided; what apt would make of them with the plan's packages only is less."""
    assert "Sections" not in SETTINGS and 'AutomaticRemove "false"' in SETTINGS


@pytest.mark.parametrize("mode", ["upgrade", "full"])
@pytest.mark.parametrize("sweeping", [False, True])
def test_the_marks_are_apts_own(tmp_path: Path, mode: Mode, sweeping: bool) -> None:
    going = {"Section": "metapackages", **needs("one", "two | three")}
    installed = [
        Deb("meta", fields=going), *map(Deb, ("one", "three", "a", "g++", "winner")),
        Deb("loose+", arch="all"),
        *(Deb(name, fields={"Section": "libs"}) for name in ("old", "lost")),
    ]  # fmt: skip
    main = [
        Deb("winner", "2", fields={"Conflicts": "meta, lost"}),
        Deb("old", "2", fields={"Section": "oldlibs", **needs("new")}),
        *(Deb("new", fields=needs("deep")), Deb("deep"), Deb("one", "2"), Deb("g++", "2")),
        Deb("a", "2", fields=needs("lib++")), Deb("lib++", arch="all"),
    ]  # fmt: skip
    image = {
        "auto": ("one", "three", "loose+", "lost", "g++"),
        "settings": (TextFile("/etc/apt/apt.conf", SECTIONS),),
    }
    content = content_of(installed, (MAIN, SECURITY), **image)  # type: ignore[arg-type]
    with open_libsolv() as solve:
        world = World(tmp_path, solve)
        plan = world.plan(installed, main, wishes=Wishes(mode, autoremove=sweeping), **image)
    make(tmp_path / "made", plan, content, world.mirror)
    verb = ["dist-upgrade"] if mode == "full" else ["upgrade", "--with-new-pkgs"]
    verb += ["--auto-remove"] if sweeping else []
    oracle(world.folder / "oracle", world.mirror, content, verb)
    wanted = written_marks(world.folder / "oracle", verb)
    assert read_marks((tmp_path / "made/extended_states").read_text()) == wanted
    assert wanted == {f"{one.name}:amd64" for one in plan.expected if one.auto}
    status = (tmp_path / "made/root/var/lib/dpkg/status").read_text()
    there = re.findall(r"^Package: (\S+)\nStatus: install ok installed\n", status, re.M)
    assert sorted(there) == sorted(one.name for one in plan.expected)
    assert ("loose+" not in there) == ("g++" not in there) == sweeping


def test_a_real_guest_ends_with_the_marks_of_its_plan(small_ova: Path, tmp_path: Path) -> None:
    guest = guest_of(small_ova)
    new = [build_deb(tmp_path, "new", "1"), build_deb(tmp_path, "wanted", "1")]
    debs = [build_deb(tmp_path, "unzip", "99"), *new]
    base = plan_of(debs[0])
    steps = (
        *base.steps,
        *(Step("install", deb.name, "all", becomes="1", archive=deb.archive) for deb in new),
        Step("remove", "zip", "amd64"),
    )
    marks = (Mark("unzip", "amd64", True), Mark("wanted", "amd64", False))
    plan = replace(base, mode="upgrade", steps=steps, marks=marks)
    tmp_path.parent.chmod(0o755)
    with guest.job(tmp_path) as scratch:
        made = Result(guest, guest.make(scratch, plan, debs))
        states = made.content("/var/lib/apt/extended_states").decode()
        status = made.content("/var/lib/dpkg/status").decode()
        made.close()
    assert read_marks(states) >= {"new:amd64", "unzip:amd64"} and "Package: wanted" not in states
    assert "Package: wanted\nStatus: install ok installed" in status
    assert "Package: zip\nStatus: install" not in status
