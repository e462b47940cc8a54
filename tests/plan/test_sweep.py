"""What nobody needs any more, held against apt itself in small worlds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from regild.model.content import TextFile
from regild.model.plan import Mode
from regild.plan.wishes import Wishes
from tests.feeds.repositories import Deb, content_of
from tests.plan.test_worlds import MAIN, SECURITY, World, needs, oracle, told

pytestmark = pytest.mark.filterwarnings("error")
KERNELS = TextFile("/etc/apt/apt.conf", 'APT::VersionedKernelPackages:: "linux-.*";\n')


def as_apt(
    world: World,
    installed: Sequence[Deb],
    main: Sequence[Deb],
    mode: Mode = "full",
    sweeping: bool = True,
    **image: object,
) -> list[str]:
    """A plan's steps in short, which are apt's own."""
    wishes = Wishes(mode, autoremove=sweeping)
    plan = world.plan(installed, main, wishes=wishes, **image)  # type: ignore[arg-type]
    content = content_of(installed, (MAIN, SECURITY), **image)  # type: ignore[arg-type]
    verb = ["dist-upgrade"] if mode == "full" else ["upgrade", "--with-new-pkgs"]
    verb += ["--auto-remove"] if sweeping else []
    wanted = oracle(world.folder / "oracle", world.mirror, content, verb)
    assert {f"{one.name} {one.was} {one.becomes}" for one in plan.steps} == wanted
    return told(plan)


def kernel(name: str, version: str, flavour: str = "amd64", **fields: str) -> Deb:
    """A kernel's package, as Debian names it."""
    return Deb(f"linux-image-{name}-{flavour}", version, fields=fields)


@pytest.mark.parametrize("mode", ["upgrade", "full"])
def test_what_is_on_hold_stays_and_all_that_it_needs(world: World, mode: Mode) -> None:
    installed = [
        Deb("held", fields=needs("lib")),
        *map(Deb, ("lib", "loose", "asked")),
    ]
    marked = ("held", "lib", "loose", "asked")
    args = (installed, [Deb("loose", "2")], mode)
    assert as_apt(world, *args, auto=marked, holds=("held", "asked")) == ["-loose"]
    plan = world.plan(*args[:2], wishes=Wishes(mode, ("asked",), autoremove=True), auto=marked)
    assert told(plan) == ["-held", "-lib", "-loose"]


def test_what_is_brought_for_nothing_stays_where_anything_lacks_what_it_recommends(
    world: World,
) -> None:
    """A package that goes in the end had brought another one; a third recommends that too."""
    installed = [
        Deb("heavy", fields={"Priority": "required"}),
        Deb("old", fields=needs("part")),
        Deb("part"),
        Deb("third", fields={"Recommends": "wanted"}),
    ]
    main = [
        Deb("heavy", "2", fields={"Breaks": "part", "Priority": "required"}),
        Deb("old", "2", fields={"Depends": "part", "Recommends": "wanted"}),
        Deb("third", "2", fields={"Recommends": "wanted"}),
        Deb("wanted", fields={"Recommends": "more"}),
        Deb("more"),
        Deb("part"),
    ]
    assert as_apt(world, installed, main, sweeping=False, auto=("old", "part", "third")) == [
        "heavy 2", "+more 1.0", "-old", "-part", "third 2", "+wanted 1.0",
    ]  # fmt: skip
    assert as_apt(world, installed, main, auto=("old", "part", "third")) == [
        "heavy 2", "-old", "-part", "-third",
    ]  # fmt: skip
    main[2] = Deb("third", "2")
    installed[3] = Deb("third")
    assert as_apt(world, installed, main, sweeping=False, auto=("old", "part", "third")) == [
        "heavy 2", "-old", "-part", "third 2",
    ]  # fmt: skip


def test_what_is_required_now_stays_whatever_its_next_version_is(world: World) -> None:
    installed = [
        Deb("now", fields={"Priority": "required"}),
        Deb("then", fields={"Priority": "optional"}),
        Deb("apt"),
    ]
    main = [
        Deb("now", "2", fields={"Priority": "optional"}),
        Deb("then", "2", fields={"Priority": "required"}),
    ]
    assert as_apt(world, installed, main, auto=("now", "then", "apt")) == ["now 2", "-then"]


def test_of_what_one_source_builds_only_the_newest_is_needed(world: World) -> None:
    def built(name: str, version: str, source: str = "s") -> Deb:
        return Deb(name, version, fields={"Source": source, "Provides": "api"})

    installed = [
        Deb("user", fields=needs("api")),
        built("old", "1"),
        built("new", "2"),
        built("other", "1", "t"),
    ]
    marked = ("old", "new", "other")
    assert as_apt(world, installed, [Deb("x")], auto=marked) == ["-old"]
    chosen = [Deb("user", fields=needs("old | new")), *installed[1:3]]
    assert as_apt(world, chosen, [Deb("x")], auto=marked) == []


def test_two_kernels_stay_by_the_versions_of_their_packages(world: World) -> None:
    """A kernel of a lower name may be the newer one; flavours of one version are one kernel."""
    installed = [
        kernel("6.1.0-9", "6.1.5-1"),
        kernel("6.1.0-10", "6.1.4-1"),
        kernel("6.1.0-9", "6.1.5-1", "cloud-amd64"),
        kernel("6.1.0-8", "6.1.3-1"),
        kernel("6.1.0-9", "6.1.3-1", "amd64-dbg"),
        Deb("linux-headers-6.1.0-9-amd64", fields=needs("linux-headers-6.1.0-9-common")),
        Deb("linux-headers-6.1.0-9-common"),
        Deb("linux-headers-6.1.0-8-amd64"),
        Deb("grub2-common"),
    ]
    marked = [one.name for one in installed[:-1]]
    assert as_apt(world, installed, [Deb("x")], auto=marked, settings=(KERNELS,)) == [
        "-linux-headers-6.1.0-8-amd64",
        "-linux-image-6.1.0-8-amd64",
        "-linux-image-6.1.0-9-amd64-dbg",
    ]


def test_a_kernel_that_does_for_another_stays_only_if_it_stays_anyway(world: World) -> None:
    provided = {"Source": "linux (5)", "Provides": "linux-image"}
    kernels = [kernel(f"6.1.0-{number}", f"6.1.{number}-1", **provided) for number in (1, 2, 3)]
    installed = [Deb("tool", fields=needs("linux-image")), *kernels, Deb("grub2-common")]
    marked = [one.name for one in kernels]
    args = (world, installed, [Deb("x")])
    assert as_apt(*args, auto=marked, settings=(KERNELS,)) == [f"-{kernels[0].name}"]
    assert as_apt(*args, auto=marked) == []


def test_a_new_kernel_leaves_the_one_before_it(world: World) -> None:
    """apt counts the kernels from before and keeps two of them beside the new one; a plan leaves
    what apt leaves when it is asked to sweep once more, where the kernel from before runs."""
    first, second, third = (kernel(f"6.1.0-{number}", f"6.1.{number}-1") for number in (1, 2, 3))
    meta = [
        Deb("linux-image-amd64", one.version, fields=needs(one.name)) for one in (second, third)
    ]
    installed, main = [meta[0], first, second, Deb("grub2-common")], [meta[1], third]
    marked, image = (first.name, second.name), {"settings": (KERNELS,)}
    plan = world.plan(installed, main, wishes=Wishes("full", autoremove=True), auto=marked, **image)
    assert told(plan) == [f"-{first.name}", f"+{third.name} 6.1.3-1", "linux-image-amd64 6.1.3-1"]
    content = content_of(installed, (MAIN, SECURITY), auto=marked, **image)  # type: ignore[arg-type]
    verb = ["dist-upgrade", "--auto-remove"]
    apts = oracle(world.folder / "oracle", world.mirror, content, verb)
    assert apts == {f"{third.name}  6.1.3-1", "linux-image-amd64 6.1.2-1 6.1.3-1"}
    after = [meta[1], first, second, third, Deb("grub2-common")]
    assert as_apt(world, after, main, auto=(*marked, third.name), **image) == [f"-{first.name}"]


def test_two_new_kernels_at_once_leave_the_one_that_the_image_had(world: World) -> None:
    first, *fresh = (kernel(f"6.{number}.0", f"6.{number}-1") for number in (1, 2, 3))
    metas = [Deb(f"meta{place}", "2", fields=needs(one.name)) for place, one in enumerate(fresh)]
    installed = [Deb("meta0"), Deb("meta1"), first, Deb("grub2-common")]
    steps = as_apt(world, installed, [*metas, *fresh], auto=(first.name,), settings=(KERNELS,))
    assert [one for one in steps if one.startswith("-")] == []


@pytest.mark.parametrize(
    "pattern", ["^Lo[[:lower:]]se$", "^lo{2}se$", "^(l+o*s?e?)+$", "loose|", "^loose"]
)
def test_what_a_pattern_names_stays(world: World, pattern: str) -> None:
    """Any case, as regex(7) has it."""
    kept = TextFile("/etc/apt/apt.conf", f'APT::NeverAutoRemove:: "{pattern}";\n')
    installed = [Deb("loose"), Deb("other"), Deb("wished")]
    args = (installed, [Deb("wished", "2")])
    wanted = ["-other", "wished 2"] if pattern != "loose|" else ["wished 2"]
    assert as_apt(world, *args, auto=("loose", "other"), settings=(kept,)) == wanted
