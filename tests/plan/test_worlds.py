"""libsolv is asked about small worlds, and held against apt itself."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace as replace_suite
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.errors import NotInstalled, PlanError, TooLarge, Unsolvable
from regild.feeds.apt import refresh
from regild.feeds.available import Available
from regild.feeds.policy import SitePolicy, with_options
from regild.host.run import run
from regild.model.content import Content, Source, TextFile
from regild.model.plan import Mode, Plan
from regild.model.progress import Silent
from regild.plan.debian.answer import answer, open_shelf
from regild.plan.solver import Request, Solver, Transaction
from regild.plan.steps import make_plan, verdict
from regild.plan.wishes import Policy, Wishes
from tests.feeds.repositories import NOW, Deb, Suite, content_of, publish

URI = "http://mirror.example/debian"
MAIN = Source("apt", URI, "stable", ("main",))
SECURITY = Source("apt", URI, "stable-security", ("main",))


class World:
    """A repository with a main and a security suite, and a place to plan in."""

    def __init__(self, folder: Path, solve: Solver) -> None:
        self.folder, self.solve = folder, solve
        self.mirror = folder / "mirror"
        self.extra = ""
        """Further lines of the second suite's release."""

    def available(self, content: Content, main: Sequence[Deb], safe: Sequence[Deb]) -> Available:
        architectures = content.planning.architectures
        publish(self.mirror, Suite(main, architectures=architectures))
        label = "Debian-Security"
        suite = Suite(safe, "stable-security", label=label, architectures=architectures)
        publish(self.mirror, replace_suite(suite, extra=self.extra))
        policy = with_options(SitePolicy(), mirrors=(f"{URI}={self.mirror}",))
        return refresh(content, policy, self.folder / "cache", NOW, Silent())

    def plan(
        self,
        installed: Sequence[Deb],
        main: Sequence[Deb],
        safe: Sequence[Deb] = (),
        mode: Mode = "upgrade",
        hold: tuple[str, ...] = (),
        wishes: Wishes | None = None,
        policy: Policy = Policy(),  # noqa: B008 - a frozen value
        **image: object,
    ) -> Plan:
        content = content_of(installed, (MAIN, SECURITY), **image)  # type: ignore[arg-type]
        available = self.available(content, main, safe)
        return make_plan(
            content, "disk", available, wishes or Wishes(mode, hold), self.solve, policy
        )


def needs(*names: str) -> dict[str, str]:
    return {"Depends": ", ".join(names)}


def told(plan: Plan) -> list[str]:
    """The steps in short: `+name version`, `name version`, `-name`."""
    signs = {"install": "+", "upgrade": "", "remove": "-"}
    return [f"{signs[step.action]}{step.name} {step.becomes}".strip() for step in plan.steps]


def test_an_upgrade_brings_new_dependencies_and_removes_nothing(world: World) -> None:
    installed = [Deb("a"), Deb("b"), Deb("old")]
    main = [
        Deb("a", "2", fields=needs("new")),
        Deb("new", "1"),
        Deb("b", "2", fields={"Conflicts": "old"}),
    ]
    plan = world.plan(installed, main)
    assert told(plan) == ["a 2", "+new 1"]
    assert plan.steps[1].why == "needed by a"
    assert [(one.name, one.available) for one in plan.skipped] == [("b", "2")]
    assert "keeps it back" in plan.skipped[0].why
    assert told(world.plan(installed, main, mode="full")) == ["a 2", "b 2", "+new 1", "-old"]


def test_security_brings_security_updates_and_what_they_need(world: World) -> None:
    installed = [Deb("tool"), Deb("lib"), Deb("other"), Deb("plain")]
    main = [Deb("lib", "2"), Deb("other", "2"), Deb("extra", "1"), Deb("plain", "3")]
    safe = [Deb("tool", "2", fields=needs("lib (>= 2)", "extra")), Deb("plain", "2")]
    plan = world.plan(installed, main, safe, mode="security")
    assert told(plan) == ["+extra 1", "lib 2", "plain 2", "tool 2"]
    assert [step.security for step in plan.steps] == [False, False, True, True]
    assert told(world.plan(installed, main, safe)) == [
        "+extra 1", "lib 2", "other 2", "plain 3", "tool 2",
    ]  # fmt: skip


def test_security_that_cannot_be_had_is_kept_back(world: World) -> None:
    safe = [Deb("tool", "2", fields=needs("nowhere")), Deb("good", "2")]
    plan = world.plan([Deb("tool"), Deb("good")], [Deb("tool", "1.5")], safe, mode="security")
    assert told(plan) == ["good 2"]
    assert [one.name for one in plan.skipped] == ["tool"]


def test_the_guests_pins_do_not_widen_security(world: World) -> None:
    pin = TextFile("/etc/apt/preferences", "Package: other\nPin: release *\nPin-Priority: 990\n")
    general = TextFile(
        "/etc/apt/preferences.d/x", "Package: *\nPin: release *\nPin-Priority: 900\n"
    )
    plan = world.plan(
        [Deb("other"), Deb("tool"), Deb("third")],
        [Deb("other", "2"), Deb("third", "2")],
        [Deb("tool", "2")],
        mode="security",
        preferences=(pin, general),
    )
    assert told(plan) == ["tool 2"]


def test_the_guests_pins_choose_versions(world: World) -> None:
    pin = TextFile("/etc/apt/preferences", "Package: a\nPin: version 2*\nPin-Priority: 990\n")
    plan = world.plan([Deb("a")], [Deb("a", "2"), Deb("a", "3")], preferences=(pin,))
    assert told(plan) == ["a 2"]


def test_pins_on_a_host_mean_the_images_own_address(world: World) -> None:
    pin = 'Package: *\nPin: origin "mirror.example"\nPin-Priority: -1\n'
    plan = world.plan([Deb("a")], [Deb("a", "2")], preferences=(TextFile("/x", pin),))
    assert told(plan) == []


def test_holds_of_the_image_and_of_the_user_are_honoured(world: World) -> None:
    installed = [Deb("a"), Deb("b"), Deb("c")]
    main = [Deb("a", "2"), Deb("b", "2"), Deb("c", "2")]
    for mode in ("upgrade", "full", "security"):
        plan = world.plan(installed, main, main, mode, ("b",), holds=("a",))  # type: ignore[arg-type]
        assert told(plan) == ["c 2"]
        assert [(one.name, one.available) for one in plan.skipped] == [("a", "2"), ("b", "2")]
        assert "on hold" in plan.skipped[0].why and "asked" in plan.skipped[1].why


def test_a_kernel_comes_with_what_it_needs(world: World) -> None:
    installed = [Deb("linux-image-amd64"), Deb("grub2-common"), Deb("a")]
    main = [
        Deb("linux-image-amd64", "2", fields=needs("linux-image-6")),
        Deb("linux-image-6", "1"),
        Deb("grub2-common", "2"),
        Deb("a", "2"),
    ]
    for mode in ("upgrade", "full"):
        plan = world.plan(installed, main, mode=mode)  # type: ignore[arg-type]
        assert told(plan) == ["a 2", "grub2-common 2", "+linux-image-6 1", "linux-image-amd64 2"]
        assert {one.method for one in plan.steps} == {"offline"} and plan.skipped == ()


def test_what_takes_the_booted_machine_stays_as_it_is(world: World) -> None:
    tied = {"Depends": "grub2-common (= 1.0)"}
    installed = [
        Deb("grub-pc", fields=tied),
        Deb("grub2-common"),
        Deb("a"),
        Deb("b"),
    ]
    main = [
        Deb("grub-pc", "2", fields={"Depends": "grub2-common (= 2)"}),
        Deb("grub2-common", "2"),
        Deb("a", "2"),
        Deb("b", "2", fields=needs("dracut")),
        Deb("dracut", "1"),
    ]
    for mode in ("upgrade", "full"):
        plan = world.plan(installed, main, wishes=Wishes(mode, method="offline"))  # type: ignore[arg-type]
        assert told(plan) == ["a 2"]
        reasons = {one.name: one.why for one in plan.skipped}
        assert sorted(reasons) == ["b", "grub-pc", "grub2-common"]
        assert "booted machine" in reasons["grub-pc"] and "keeps it back" in reasons["b"]


def test_foreign_architectures_are_told_apart(world: World) -> None:
    same = {"Multi-Arch": "same"}
    installed = [
        Deb("lib", fields=same),
        Deb("lib", arch="i386", fields=same),
        Deb("x", arch="i386"),
    ]
    main = [
        Deb("lib", "2", fields=same),
        Deb("lib", "2", "i386", same),
        Deb("lib", "2", "amd64", {**same, "Conflicts": "x:i386"}),
    ]
    plan = world.plan(installed, main[:2], architectures=("amd64", "i386"))
    assert [(step.name, step.arch) for step in plan.steps] == [("lib", "amd64"), ("lib", "i386")]
    plan = world.plan(installed, main[1:], mode="full", architectures=("amd64", "i386"))
    assert ("remove", "x", "i386") in [(one.action, one.name, one.arch) for one in plan.steps]
    assert not [one for one in plan.expected if one.name == "x"]


def test_copies_for_two_architectures_move_together_or_not_at_all(world: World) -> None:
    same = {"Multi-Arch": "same"}
    tied = {"Depends": "lib (= 2)"}
    installed = [
        Deb("lib", fields=same),
        Deb("lib", arch="i386", fields=same),
        Deb("x", arch="i386", fields={"Depends": "lib"}),
        Deb("tool"),
        Deb("a"),
    ]
    main = [Deb("lib", "2", fields=same), Deb("tool", "2", fields=tied), Deb("a", "2")]
    for mode in ("upgrade", "full"):
        plan = world.plan(installed, main, mode=mode, architectures=("amd64", "i386"))  # type: ignore[arg-type]
        assert told(plan) == ["a 2"]
        reasons = {one.name: one.why for one in plan.skipped}
        assert "its copy lib:i386 stays at 1.0" in reasons["lib"]
        assert "tool" in reasons


def test_what_brings_a_package_that_cannot_have_its_recommendation_is_kept_back(
    world: World,
) -> None:
    """The chain is taken back from its end: the new package, what needs it, what needs that."""
    installed = [Deb("a"), Deb("b"), Deb("c"), Deb("other")]
    main = [
        Deb("a", "2", fields=needs("b (>= 2)")),
        Deb("b", "2", fields={**needs("new"), "Breaks": "c (<< 2)"}),
        Deb("c", "2", fields=needs("b (>= 2)")),
        Deb("new", "1", fields={"Recommends": "nowhere"}),
        Deb("other", "2"),
    ]
    plan = world.plan(installed, main)
    assert told(plan) == ["other 2"]
    assert sorted(one.name for one in plan.skipped) == ["a", "b", "c"]


def test_a_question_that_needs_too_many_answers_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regild.plan.debian.decide.QUESTIONS_LIMIT", 3)
    monkeypatch.setattr("regild.plan.debian.decide.holds_together", lambda *_: False)

    def here(request: Request) -> Transaction:
        return answer(open_shelf(request), request)

    names = [f"p{number}" for number in range(9)]
    main = [Deb(name, "2", fields=needs(f"{name}-gone")) for name in names]
    with pytest.raises(TooLarge, match="more than 3 questions"):
        World(tmp_path, here).plan([Deb(name) for name in names], main)


def test_a_package_may_become_one_for_all_architectures(world: World) -> None:
    plan = world.plan([Deb("a")], [Deb("a", "2", "all")])
    assert [(one.name, one.version, one.arch) for one in plan.expected] == [("a", "2", "all")]


def test_marks_decide_nothing_in_an_upgrade_and_nothing_is_swept_away(world: World) -> None:
    sweep = TextFile("/etc/apt/apt.conf", 'APT::Get::AutomaticRemove "true";\n')
    plan = world.plan(
        [Deb("a", fields=needs("b")), Deb("b")],
        [Deb("a", "2")],
        auto=("b",),
        settings=(sweep,),
        mode="full",
    )
    assert told(plan) == ["a 2"]


def test_recommended_packages_come_as_the_guest_wishes(world: World) -> None:
    installed, main = [Deb("a")], [Deb("a", "2", fields={"Recommends": "r"}), Deb("r")]
    no = TextFile("/etc/apt/apt.conf", 'APT::Install-Recommends "false";\n')
    assert told(world.plan(installed, main)) == ["a 2", "+r 1.0"]
    assert told(world.plan(installed, main, settings=(no,))) == ["a 2"]


def test_phased_updates_are_always_in(world: World) -> None:
    phased = Deb("a", "2", fields={"Phased-Update-Percentage": "0"})
    never = TextFile("/x", 'APT::Get::Never-Include-Phased-Updates "true";\n')
    assert told(world.plan([Deb("a")], [phased], settings=(never,))) == ["a 2"]


def test_the_default_release_of_the_guest_counts(world: World) -> None:
    setting = TextFile("/x", 'APT::Default-Release "stable-security";\n')
    plan = world.plan([Deb("a")], [Deb("a", "3")], [Deb("a", "2")], settings=(setting,))
    assert told(plan) == ["a 2"]


def test_a_broken_image_is_told_in_apts_words(world: World) -> None:
    with pytest.raises(Unsolvable, match="a : Depends: b"):
        world.plan([Deb("a", fields=needs("b"))], [Deb("c")])


def test_planning_the_expected_content_is_empty(world: World) -> None:
    installed = [Deb("a"), Deb("b"), Deb("old")]
    main = [Deb("a", "2", fields=needs("n")), Deb("n"), Deb("b", "2", fields={"Conflicts": "old"})]
    after = [main[0], main[1], main[2]]
    plan = world.plan(installed, main, mode="full")
    assert [(one.name, one.version) for one in plan.expected] == [
        (deb.name, deb.version) for deb in sorted(after, key=lambda deb: deb.name)
    ]
    assert told(world.plan(after, main, auto=("n",), mode="full")) == []


def test_what_is_kept_back_is_told_with_what_stands_against_it(world: World) -> None:
    installed = [Deb("a"), Deb("b"), Deb("c"), Deb("old"), Deb("d")]
    main = [
        Deb("a", "2", fields=needs("nowhere (>= 1:2.0~rc1-3)")),
        Deb("b", "2", fields={"Conflicts": "old"}),
        Deb("c", "2", fields=needs("d (>= 2)")),
        Deb("d", "2", fields=needs("nowhere")),
    ]
    reasons = {one.name: one.why for one in world.plan(installed, main).skipped}
    assert "a 2 needs nowhere (>= 1:2.0~rc1-3), which nothing on offer provides" in reasons["a"]
    assert "old" in reasons["b"]
    assert "nowhere" in reasons["d"]


def test_a_removal_says_what_excludes_the_package(world: World) -> None:
    plan = world.plan([Deb("b"), Deb("o"), Deb("p", fields=needs("o"))], [
        Deb("b", "2", fields={"Conflicts": "o", "Priority": "required"}),
    ], mode="full")  # fmt: skip
    assert {step.name: step.why for step in plan.steps if step.action == "remove"} == {
        "o": "b excludes it",
        "p": "it needs o, which goes",
    }


def test_only_some_packages_and_what_they_need(world: World) -> None:
    installed = [Deb("a"), Deb("lib"), Deb("other")]
    main = [Deb("a", "2", fields=needs("lib (>= 2)")), Deb("lib", "2"), Deb("other", "2")]
    assert told(world.plan(installed, main, wishes=Wishes(only=("a",)))) == ["a 2", "lib 2"]
    assert told(world.plan(installed, main, wishes=Wishes(only=("lib", "oth*")))) == [
        "lib 2", "other 2",
    ]  # fmt: skip
    plan = world.plan(installed, main, wishes=Wishes(exclude=("lib",)))
    assert told(plan) == ["other 2"]
    assert {one.name: one.why for one in plan.skipped}["lib"] == "it was asked to be left out"


@pytest.mark.parametrize("option", ["hold", "only", "exclude"])
def test_a_wish_about_an_unknown_package_is_an_error(world: World, option: str) -> None:
    wishes = replace(Wishes(), **{option: ("nginx*",)})
    with pytest.raises(NotInstalled, match=rf"--{option}.*nginx") as caught:
        world.plan([Deb("a")], [Deb("a", "2")], wishes=wishes)
    assert "holds under [policy]" in caught.value.advice


def test_what_nobody_needs_goes_when_asked_and_two_kernels_stay(world: World) -> None:
    kernels = [f"linux-image-6.1.0-{number}-amd64" for number in (7, 9, 10, 11)]
    names = ["a", "used", "loose", "wished", *kernels]
    fields = {"a": {"Depends": "used", "Suggests": "wished"}}
    installed = [Deb(name, fields=fields.get(name, {})) for name in names[:4]]
    installed += [Deb(name, f"6.1.{place}") for place, name in enumerate(kernels)]
    installed.append(Deb("grub2-common"))
    kept = TextFile("/etc/apt/apt.conf", 'APT::VersionedKernelPackages:: "linux-.*";\n')
    plan = world.plan(
        installed, [Deb("a", "2", fields=fields["a"])], auto=names[1:], settings=(kept,),
        wishes=Wishes("full", autoremove=True),
    )  # fmt: skip
    assert told(plan) == ["a 2", f"-{kernels[0]}", f"-{kernels[1]}", "-loose"]
    assert "nothing needs it" in plan.steps[-1].why


def test_what_nobody_needs_is_upgraded_and_not_removed_unasked(world: World) -> None:
    installed = [Deb("a"), Deb("loose")]
    main = [Deb("a", "2"), Deb("loose", "2")]
    for mode in ("upgrade", "full"):
        plan = world.plan(installed, main, auto=("loose",), wishes=Wishes(mode))  # type: ignore[arg-type]
        assert told(plan) == ["a 2", "loose 2"]


def test_phased_updates_wait_where_the_policy_says_so(world: World) -> None:
    phased = Deb("a", "2", fields={"Phased-Update-Percentage": "20"})
    args = ([Deb("a")], [phased])
    assert told(world.plan(*args)) == ["a 2"]
    assert told(world.plan(*args, policy=Policy(phased=False))) == []
    assert told(world.plan([Deb("a")], [], [phased], policy=Policy(phased=False))) == ["a 2"]


def test_what_pins_and_shares_keep_back_is_told(world: World) -> None:
    pinned = (
        TextFile("/etc/apt/preferences.d/a", "Package: a*\nPin: version 1\nPin-Priority: 999\n"),
    )
    gradual = Deb("b", "2", fields={"Phased-Update-Percentage": "10"})
    installed = (Deb("a", "1"), Deb("b", "1"), Deb("ab", "1"))
    told = {"preferences": pinned, "policy": Policy(phased=False)}
    plan = world.plan(installed, (Deb("a", "2"), gradual, Deb("ab", "1")), **told)
    assert {one.name: (one.available, one.why.partition(": ")[2]) for one in plan.skipped} == {
        "a": ("2", "a pin of the image stands against it"),
        "b": ("2", "its repository gives it to 10 % of machines so far"),
    }
    assert plan.steps == () and verdict(plan, has_unknowns=False) == 11
    held = world.plan(installed, (Deb("a", "2"),), hold=("a",), **told)
    assert [one.why for one in held.skipped] == ["it was asked to be held"]
    safe = world.plan(installed, (Deb("a", "2"),), mode="security", **told)
    assert safe.skipped == ()


def test_pins_of_every_kind_choose_as_apt_does(world: World) -> None:
    pins = (
        ("Package: a\nPin: release l=Debian-Security\nPin-Priority: -1\n", ["a 2", "b 3"]),
        ("Package: *\nPin: release n=stable-security\nPin-Priority: 50\n", ["a 2", "b 2"]),
        ("Package: /^a$/\nPin: version 2*\nPin-Priority: 700\n", ["a 2", "b 3"]),
        ("Package: src:b\nPin: release *\nPin-Priority: -1\n", ["a 3"]),
        ("Package: *\nPin: release c=main\nPin-Priority: never\n", []),
        ("Package: a b\nPin: version 2\nPin-Priority: 990\n", ["a 2", "b 2"]),
        ('Package: *\nPin: origin "mirror.example"\nPin-Priority: 10\n', []),
    )
    debs = [[Deb(name, version) for name in "ab"] for version in "123"]
    for text, expected in pins:
        file = TextFile("/etc/apt/preferences", text)
        assert told(world.plan(*debs, preferences=(file,))) == expected, text


def test_a_priority_above_1000_goes_back(world: World) -> None:
    pin = TextFile("/x", "Package: a\nPin: version 1*\nPin-Priority: 1001\n")
    assert told(world.plan([Deb("a", "3")], [Deb("a", "1.5")], preferences=(pin,))) == ["a 1.5"]
    assert told(world.plan([Deb("a", "3")], [Deb("a", "1.5")])) == []


def test_a_default_release_that_is_no_source_is_an_error(world: World) -> None:
    setting = TextFile("/x", 'APT::Default-Release "sid";\n')
    with pytest.raises(PlanError, match="sid"):
        world.plan([Deb("a")], [Deb("a", "2")], settings=(setting,))


def test_an_unrelated_package_in_the_feed_changes_no_step(world: World) -> None:
    installed, main = [Deb("a")], [Deb("a", "2", fields=needs("n")), Deb("n")]
    plain = world.plan(installed, main)
    assert world.plan(installed, [Deb("x", "9"), *main, Deb("z")]).steps == plain.steps
    assert world.plan(installed, main).id == plain.id


# --- the oracle: apt itself, with its own lists, over the whole status


def oracle(folder: Path, mirror: Path, content: Content, verb: Sequence[str]) -> set[str]:
    """What apt-get itself would do in the image, by an `update` of its own."""
    for name in ("lists/partial", "cache/archives/partial", "etc/none", "pref"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in (folder / "lists").glob("*Packages*"):
        path.unlink()
    suites = " ".join(source.suite for source in content.sources)
    (folder / "etc/s.sources").write_text(
        f"Types: deb\nURIs: file:{mirror}\nSuites: {suites}\nComponents: main\nTrusted: yes\n"
    )
    for number, file in enumerate(content.planning.preferences):
        (folder / "pref" / f"{number}").write_text(file.text)
    (folder / "status").write_text(content.planning.status)
    auto = (title.partition(":") for title in content.planning.auto)
    marks = (
        f"Package: {name}\nArchitecture: {arch}\nAuto-Installed: 1\n" for name, _, arch in auto
    )
    (folder / "extended_states").write_text("\n".join(marks))
    architectures = content.planning.architectures
    (folder / "conf").write_text(
        "".join(file.text for file in content.planning.settings)
        + f'Dir "{folder}"; Dir::State "{folder}"; Dir::State::status "{folder}/status";'
        f'Dir::State::lists "{folder}/lists"; Dir::Cache "{folder}/cache";'
        f'Dir::Etc "{folder}/etc"; Dir::Etc::sourceparts "{folder}/etc"; Dir::Etc::parts "none";'
        f'Dir::Etc::preferencesparts "{folder}/pref"; APT::Architecture "{architectures[0]}";'
        f"APT::Architectures {{ {' '.join(f'{chr(34)}{a}{chr(34)};' for a in architectures)} }};"
        'APT::Sandbox::User "root"; Acquire::AllowInsecureRepositories "true";'
        'APT::Get::AllowUnauthenticated "true"; Acquire::Languages "none";'
    )
    # With this date apt leaves out of account which kernel runs this machine.
    env = {"APT_CONFIG": str(folder / "conf"), "SOURCE_DATE_EPOCH": "1"}
    run(["apt-get", "update"], purpose="as the oracle", env=env)
    said = run(["apt-get", "-s", *verb], purpose="as the oracle", env=env).stdout.decode()
    lines = re.findall(
        r"^(Inst|Remv) (\S+?)(?::\w+)? (?:\[(\S+)\] ?)?(?:\((\S+) .*\[(\w+)\]\))?", said, re.M
    )
    return {f"{name} {was} {becomes}" for _, name, was, becomes, arch in lines}


def random_world(seed: int) -> tuple[list[Deb], list[Deb], list[Deb], dict[str, object]]:
    """Packages with random relations, an image with some of them in older versions, pins, holds."""
    dice = random.Random(seed)
    names = [f"p{number}" for number in range(14)]

    def relations(name: str, version: int) -> dict[str, str]:
        found: dict[str, str] = {}
        others = [one for one in names if one > name]
        if others and dice.random() < 0.6:
            some = dice.sample(others, min(len(others), dice.randint(1, 2)))
            found["Depends"] = ", ".join(
                f"{one} (>= {version})" if dice.random() < 0.4 else one for one in some
            )
        if others and dice.random() < 0.2:
            found["Recommends"] = dice.choice(others)
        if version > 1 and dice.random() < 0.12:
            found["Breaks"] = f"{dice.choice(names)} (<< {version})"
        if version > 1 and dice.random() < 0.08:
            found["Conflicts"] = dice.choice([one for one in names if one != name])
        return found

    first = {name: Deb(name, "1", fields=relations(name, 1)) for name in names}
    second = {name: Deb(name, "2", fields=relations(name, 2)) for name in names}
    third = {name: Deb(name, "3", fields=relations(name, 3)) for name in names}
    present: dict[str, Deb] = {}

    def add(name: str) -> None:
        if name in present:
            return
        present[name] = Deb(name, "1", fields={
            key: re.sub(r" \([^)]*\)", "", value)
            for key, value in first[name].fields.items() if key == "Depends"
        })  # fmt: skip
        for other in present[name].fields.get("Depends", "").split(", "):
            if other:
                add(other)

    for name in dice.sample(names, 7):
        add(name)
    main = [deb for deb in second.values() if dice.random() < 0.8]
    safe = [deb for deb in third.values() if dice.random() < 0.3]
    image: dict[str, object] = {"holds": tuple(dice.sample(sorted(present), dice.randint(0, 2)))}
    if dice.random() < 0.4:
        priority = dice.choice([50, 990])
        pin = f"Package: {dice.choice(names)}\nPin: version 2*\nPin-Priority: {priority}\n"
        image["preferences"] = (TextFile("/etc/apt/preferences", pin),)
    return list(present.values()), main, safe, image


@pytest.mark.parametrize("mode", ["upgrade", "full"])
@pytest.mark.parametrize("seed", range(12))
def test_the_transaction_is_apts_own(world: World, seed: int, mode: Mode) -> None:
    installed, main, safe, image = random_world(seed)
    plan = world.plan(installed, main, safe, mode, **image)  # type: ignore[arg-type]
    content = content_of(installed, (MAIN, SECURITY), **image)  # type: ignore[arg-type]
    verb = ["dist-upgrade"] if mode == "full" else ["upgrade", "--with-new-pkgs"]
    wanted = oracle(world.folder / "oracle", world.mirror, content, verb)
    assert {f"{one.name} {one.was} {one.becomes}" for one in plan.steps} == wanted
    content_after = {(one.name, one.version) for one in plan.expected}
    assert len(content_after) == len(plan.expected)


@pytest.mark.skipif(
    run(["apt-get", "--version"], purpose="to ask it").stdout.startswith(b"apt 3"),
    reason="apt 3 takes back what such a trial brought; the plans are those of apt 2",
)
def test_what_a_trial_brought_stays_though_the_trial_itself_is_given_up(world: World) -> None:
    """On its way to a removal apt tries what else is named; its outer package fails, what that had
    brought by then stays, and what went for it stays away."""
    tied = {"Depends": "tools (= 1.0)"}
    installed = [
        Deb("heavy"),
        *(Deb(f"h{number}", fields=needs("heavy")) for number in range(8)),
        Deb("old"),
        Deb("tools", fields=needs("old")),
        Deb("dev", fields=tied),
        Deb("user", fields=needs("dev | dev-small")),
        Deb("gui"),
        Deb("reader", fields=needs("gui | gui-small")),
    ]
    main = [
        Deb("heavy", "2", fields={"Breaks": "old"}),
        Deb("dev-small", fields=needs("gui-small", "tools (= 1.0)")),
        Deb("gui-small", fields={"Conflicts": "gui"}),
        *(deb for deb in installed if deb.name in ("tools", "gui", "old", "dev", "user", "reader")),
    ]
    plan = world.plan(installed, main, mode="full")
    content = content_of(installed, (MAIN, SECURITY))
    wanted = oracle(world.folder / "oracle", world.mirror, content, ["dist-upgrade"])
    assert {f"{one.name} {one.was} {one.becomes}" for one in plan.steps} == wanted
    assert told(plan) == ["-dev", "-gui", "+gui-small 1.0", "heavy 2", "-old", "-tools", "-user"]


@pytest.mark.parametrize("automatic", ["", "ButAutomaticUpgrades: yes\n"])
def test_a_suite_that_is_not_automatic_counts_as_it_does_for_apt(
    world: World, automatic: str
) -> None:
    world.extra = f"NotAutomatic: yes\n{automatic}"
    installed = [Deb("a"), Deb("b", "2.5"), Deb("c")]
    main = [Deb("a", "2", fields=needs("new")), Deb("b", "2"), Deb("new", "1")]
    back = [Deb("a", "3"), Deb("b", "3"), Deb("c", "3"), Deb("new", "2")]
    plan = world.plan(installed, main, back)
    content = content_of(installed, (MAIN, SECURITY))
    verb = ["upgrade", "--with-new-pkgs"]
    wanted = oracle(world.folder / "oracle", world.mirror, content, verb)
    assert {f"{one.name} {one.was} {one.becomes}" for one in plan.steps} == wanted
    assert told(plan) == ["a 2", *(["b 3", "c 3"] if automatic else []), "+new 1"]


def test_names_in_an_index_count_in_lower_case(world: World) -> None:
    """What a package needs and provides is another thing: there apt tells the cases apart."""
    installed = [Deb("mixed"), Deb("a"), Deb("b"), Deb("c")]
    main = [
        Deb("Mixed", "2", fields=needs("Part", "other | part")),
        Deb("Part", fields={"Provides": "Part, Virtual"}),
        Deb("a", "2", fields=needs("Mixed")),
        Deb("b", "2", fields=needs("Virtual", "part")),
        Deb("c", "2", fields=needs("virtual")),
    ]
    for mode in ("upgrade", "full"):
        plan = world.plan(installed, main, mode=mode)  # type: ignore[arg-type]  # a mode
        verb = ["dist-upgrade"] if mode == "full" else ["upgrade", "--with-new-pkgs"]
        content = content_of(installed, (MAIN, SECURITY))
        wanted = oracle(world.folder / "oracle", world.mirror, content, verb)
        assert {f"{one.name} {one.was} {one.becomes}" for one in plan.steps} == wanted
        assert told(plan) == ["b 2", "mixed 2", "+part 1.0"]
