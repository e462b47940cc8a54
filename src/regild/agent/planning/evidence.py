"""What is known of the weaknesses that a plan takes away: advisories where the site has feeds of
them, else mentions in the changelogs of the plan's own packages."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from regild.feeds.advisories.read import Known, read_advisories
from regild.feeds.advisories.words import read_severity
from regild.feeds.feed import Offers
from regild.feeds.policy import SitePolicy
from regild.model.advisory import gravest
from regild.model.content import Content
from regild.model.plan import Plan, Step
from regild.model.progress import Progress
from regild.plan.advice import advised, is_covered, with_exploited


def open_known(
    policy: SitePolicy, cache: Path, now: datetime, progress: Progress, anew: bool = False
) -> Known:
    """The advisories of the site's feeds; close them after use. `anew` fetches every address
    again.

    Raises: as `read_advisories`.
    """
    hours = 0 if anew else policy.advisory_hours
    return read_advisories(policy.advisories, policy, cache, now, progress, hours=hours)


def with_evidence(
    plan: Plan,
    content: Content,
    known: Known,
    policy: SitePolicy,
    cache: Path,
    progress: Progress,
) -> Plan:
    """The plan with the weaknesses that its steps take away, and with those that stay.

    Raises: as `fetch_archives`.
    """
    plan = advised(plan, content, known)
    # Of the families only Debian's packages hold their changelogs as files.
    if plan.steps and content.planning.type == "deb" and not is_covered(content, known):
        progress.step("Looking into the changelogs")
        plan = with_mentions(plan, content, policy, cache, progress)
    return with_exploited(plan, known)


def with_notices(plan: Plan, available: Offers) -> Plan:
    """The plan with the advisories that its repositories themselves hold."""
    return replace(plan, steps=tuple(_noticed(step, available) for step in plan.steps))


def _noticed(step: Step, available: Offers) -> Step:
    """A step with every advisory between the version before and the one after."""
    if step.action != "upgrade":
        return step
    told = [one for one in available.notices(step.name, step.was, step.becomes) if one.id]
    asks = next((one.id for one in told if one.reboot), "")
    if asks and not step.restart:
        step = replace(step, restart=f"{asks} asks for it")
    grave = [one for one in told if one.type == "security" or one.cves]
    if not grave:
        return step
    return replace(
        step,
        security=True,
        fixes=tuple(dict.fromkeys(cve for one in grave for cve in one.cves)),
        advisories=tuple(dict.fromkeys(one.id for one in grave)),
        severity=gravest(tuple(read_severity(one.severity) for one in grave)),
        evidence=grave[0].id,
    )


def with_mentions(
    plan: Plan, content: Content, policy: SitePolicy, cache: Path, progress: Progress
) -> Plan:
    """The plan with the CVE ids that the packages' own changelogs name since the old version.

    Of each source's packages the smallest are looked into first, until one holds a changelog.
    """
    from regild.feeds.archives import fetch_archives
    from regild.feeds.changelog import find_changelog, read_cves

    before = {(one.name, one.arch): one.source_version or one.version for one in content.packages}
    waiting: dict[str, list[Step]] = {}
    for step in plan.steps:
        if step.archive and step.action == "upgrade" and not step.advisories:
            waiting.setdefault(step.source, []).append(step)
    for steps in waiting.values():
        steps.sort(key=lambda step: step.archive.bytes if step.archive else 0)
    fixes: dict[str, tuple[str, ...]] = {}
    while waiting:
        firsts = {source: steps.pop(0) for source, steps in waiting.items()}
        archives = [step.archive for step in firsts.values() if step.archive]
        files = fetch_archives(archives, policy, cache, progress)
        for source, step in firsts.items():
            changelog = find_changelog(files[step.archive.digest]) if step.archive else None
            if changelog is not None:
                fixes[source] = read_cves(changelog, before.get((step.name, step.arch), step.was))
        waiting = {name: rest for name, rest in waiting.items() if rest and name not in fixes}
    told = (_told(step, fixes.get(step.source, ())) for step in plan.steps)
    return replace(plan, steps=tuple(told))


def _told(step: Step, fixes: tuple[str, ...]) -> Step:
    """A step with what its source's changelog says."""
    if step.action != "upgrade" or not fixes or step.advisories:
        return step
    return replace(step, fixes=fixes, evidence="changelog")
