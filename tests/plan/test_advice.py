"""What advisories say of a plan's steps and of what stays."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from regild.model.advisory import Advisory, AdvisoryFeed, Affected, Match
from regild.model.content import Content, Package, Planning, Platform
from regild.model.digest import Digest
from regild.model.plan import Plan, Skipped, Step
from regild.plan.advice import advised, is_covered, watched, with_exploited

ID = Digest("sha256:" + "0" * 64)
FEED = AdvisoryFeed("/feed", ("osv",), ID)
OLD = Package("deb", "libtool", "1.0-1+b2", "amd64", source="tool", source_version="1.0-1")
NEW = replace(OLD, version="1.1-1", source_version="1.1-1")
PLATFORM = Platform("linux", "debian", "12.5", "bookworm", "Debian", "amd64")
CONTENT = Content(PLATFORM, (OLD,), planning=Planning(type="deb"))
STEP = Step("upgrade", "libtool", "amd64", OLD.version, NEW.version, source="tool")
PLAN = Plan(ID, ID, "disk", "upgrade", (STEP,), expected=(NEW,))
SOURCE = Affected("deb", "debian-12", "tool", "source")


class Feeds:
    def __init__(self, *advisories: Advisory, exploited: Iterable[str] = ()) -> None:
        self.feeds = (FEED,)
        self._rows = [(one, row) for one in advisories for row in one.affected]
        self._exploited = set(exploited)

    def find(self, name: str) -> tuple[Match, ...]:
        return tuple(Match(one, row) for one, row in self._rows if row.name == name)

    def exploited(self, cves: Iterable[str]) -> tuple[str, ...]:
        return tuple(cve for cve in cves if cve in self._exploited)

    def speaks_of(self, type: str, ecosystems: Iterable[str]) -> bool:
        return any(row.type == type and row.ecosystem in ecosystems for _, row in self._rows)


def advisory(id: str = "DSA-1", *rows: Affected, cve: str = "CVE-2026-1111") -> Advisory:
    return Advisory(id, "high", (cve,), affected=rows)


FIX = advisory("DSA-1", replace(SOURCE, fixed="1.1-1"))


def step_of(*advisories: Advisory, plan: Plan = PLAN, exploited: Iterable[str] = ()) -> Step:
    return advised(plan, CONTENT, Feeds(*advisories, exploited=exploited)).steps[0]


def test_a_step_over_the_fix_is_told_with_its_advisory() -> None:
    step = step_of(FIX, exploited=["CVE-2026-1111"])
    assert (step.fixes, step.advisories, step.evidence) == (("CVE-2026-1111",), ("DSA-1",), "DSA-1")
    assert (step.severity, step.exploited, step.security) == ("high", ("CVE-2026-1111",), True)


def test_the_plans_id_is_the_same_with_and_without_advisories() -> None:
    plan = advised(PLAN, CONTENT, Feeds(FIX))
    assert plan.id == PLAN.id and plan.advisories == (FEED,)
    assert advised(PLAN, CONTENT, Feeds(FIX)) == plan


def test_a_step_below_the_fix_takes_nothing_away() -> None:
    told = advised(PLAN, CONTENT, Feeds(advisory("X", replace(SOURCE, fixed="1.2-1"))))
    assert told.steps == (STEP,)
    (left,) = told.unfixed
    assert (left.advisory, left.package, left.version, left.fixed) == (
        "X", "libtool", "1.1-1", "1.2-1",
    )  # fmt: skip


def test_what_is_fixed_already_is_not_told() -> None:
    told = advised(PLAN, CONTENT, Feeds(advisory("X", replace(SOURCE, fixed="1.0-1"))))
    assert told.steps == (STEP,) and not told.unfixed


def test_other_releases_families_and_names_do_not_count() -> None:
    others = (
        replace(SOURCE, ecosystem="debian-11"),
        replace(SOURCE, type="rpm"),
        replace(SOURCE, by="binary"),
        replace(SOURCE, name="libtool"),  # the binary's name, and it speaks of sources
    )
    told = advised(PLAN, CONTENT, Feeds(advisory("X", *others)))
    assert told.steps == (STEP,) and not told.unfixed


def test_a_binary_package_is_held_by_its_own_version() -> None:
    row = Affected("deb", "bookworm", "libtool", fixed="1.0-1+b3")
    assert step_of(advisory("X", row)).advisories == ("X",)


def test_spans_begin_and_end() -> None:
    assert step_of(advisory("X", replace(SOURCE, introduced="1.0-2", fixed="1.1"))) == STEP
    assert step_of(advisory("X", replace(SOURCE, last="1.0-1"))).advisories == ("X",)
    assert step_of(advisory("X", replace(SOURCE, versions=("1.0-1",)))).advisories == ("X",)
    assert step_of(advisory("X", replace(SOURCE, versions=("1.0-9",)))) == STEP


def test_a_vex_statement_takes_others_back() -> None:
    vex = advisory("VEX", replace(SOURCE, status="not affected"))
    told = advised(PLAN, CONTENT, Feeds(advisory("X", SOURCE), vex))
    assert not told.unfixed
    other = advisory("VEX", replace(SOURCE, status="not affected"), cve="CVE-2026-9")
    assert advised(PLAN, CONTENT, Feeds(advisory("X", SOURCE), other)).unfixed


def test_two_feeds_on_one_weakness_are_one_line_with_the_graver_rating() -> None:
    second = replace(advisory("OSV-1", SOURCE), severity="critical")
    (left,) = advised(PLAN, CONTENT, Feeds(advisory("X", SOURCE), second)).unfixed
    assert (left.advisory, left.severity) == ("X", "critical")


def test_why_something_stays_is_said() -> None:
    plan = replace(PLAN, steps=(), expected=(OLD,), skipped=(Skipped("libtool", "it is on hold"),))
    rows = (
        advisory("A", replace(SOURCE, fixed="1.1-1"), cve="CVE-2026-1"),
        advisory("B", SOURCE, cve="CVE-2026-2"),
        advisory("C", replace(SOURCE, note="no-dsa: Minor issue"), cve="CVE-2026-3"),
        advisory("D", replace(SOURCE, status="under investigation"), cve="CVE-2026-4"),
    )
    told = advised(plan, CONTENT, Feeds(*rows, exploited=["CVE-2026-2"]))
    assert [(one.advisory, one.why) for one in told.unfixed] == [
        ("B", "no fix is known"),
        ("A", "it is on hold"),
        ("C", "no-dsa: Minor issue"),
        ("D", "its publisher still looks into it"),
    ]
    offered = advised(replace(plan, skipped=()), CONTENT, Feeds(rows[0])).unfixed
    assert "do not offer" in offered[0].why


def test_a_removed_package_takes_its_weaknesses_with_it() -> None:
    removal = Step("remove", "libtool", "amd64", OLD.version)
    told = advised(
        replace(PLAN, steps=(removal,), expected=()), CONTENT, Feeds(advisory("X", SOURCE))
    )
    assert told.steps[0].advisories == ("X",) and not told.unfixed


def test_mentions_in_changelogs_are_marked_as_exploited_too() -> None:
    mention = replace(STEP, fixes=("CVE-2026-1", "CVE-2026-2"), evidence="changelog")
    plan = with_exploited(replace(PLAN, steps=(mention,)), Feeds(exploited=["CVE-2026-2"]))
    assert plan.steps[0].exploited == ("CVE-2026-2",)


def test_coverage_is_of_the_images_own_release() -> None:
    assert is_covered(CONTENT, Feeds(FIX))
    assert not is_covered(CONTENT, Feeds(advisory("X", replace(SOURCE, ecosystem="debian-11"))))


def windows(version: str) -> Content:
    return Content(Platform("windows", "windows-server", version, arch="amd64"))


def test_a_build_of_windows_is_held_against_the_newest_of_its_own() -> None:
    row = Affected("windows", "", "10.0.20348", fixed="10.0.20348.2900", note="KB5050001")
    other = replace(row, name="10.0.17763", fixed="10.0.17763.9999")
    feeds = Feeds(advisory("CVE-2026-1111", row, other), exploited=["CVE-2026-1111"])
    plan = watched(windows("10.0.20348.2849"), "disk", "upgrade", feeds)
    (left,) = plan.unfixed
    assert (left.fixed, left.why, left.exploited) == ("10.0.20348.2900", "KB5050001", True)
    (skipped,) = plan.skipped
    assert (skipped.name, skipped.available) == ("Windows", "10.0.20348.2900")
    for version in ("10.0.20348.2900", "10.0.20348.10000", "10.0.26100.1", "", "10.0"):
        current = watched(windows(version), "disk", "upgrade", feeds)
        assert not current.unfixed and not current.skipped
