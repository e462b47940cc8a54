"""The feeds of an image and of the site: where each is read, what was seen of it last, and reading
it anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from regild.agent.planning.evidence import open_known
from regild.agent.reading.claim import read_claims
from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.agent.site import Site, policy_of
from regild.errors import SourceRefused
from regild.feeds.advisories.read import last_fetched
from regild.feeds.feed import folders_of, is_fed, refresh, statements_of
from regild.feeds.policy import SitePolicy, decide, signers_of
from regild.feeds.seen import Seen, all_seen, find_seen
from regild.host.shared import using
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import AdvisoryRow, FeedRow, FeedsAnswer
from regild.model.content import Content, Source
from regild.model.progress import Progress


def list_feeds(content: Content | None, image: str, site: Site, now: datetime) -> FeedsAnswer:
    """Where each source of an image is read and what was seen of it last; without an image, all
    repositories that were ever seen. Nothing is fetched.

    Raises: UsageError.
    """
    policy = policy_of(site)
    if content is None:
        rows = tuple(_seen_row(one, now) for one in all_seen(site.cache))
    else:
        rows = tuple(
            _with_seen(*_placed(source, image, content, policy, site.cache), now)
            for source in content.sources
        )
    return FeedsAnswer(rows, tuple(_advisory_rows(policy, site.cache)))


def refresh_feeds(
    content: Content | None, image: str, site: Site, now: datetime, progress: Progress
) -> FeedsAnswer:
    """Read the sources of an image and the site's feeds of advisories anew; without an image
    there are no keys to believe a repository by, so none is read.

    Raises: the errors of `feeds`.
    """
    policy = policy_of(site)
    with using(site.cache):
        if content is not None and is_fed(content):
            refresh(content, policy, site.cache, now, progress)
        with open_known(policy, site.cache, now, progress, anew=True) as known:
            read = {one.place: one for one in known.feeds}
    told = (
        list_feeds(content, image, site, now)
        if content
        else FeedsAnswer((), tuple(_advisory_rows(policy, site.cache)))
    )
    rows = tuple(AdvisoryRow(one.place, read.get(one.place)) for one in told.advisories)
    return FeedsAnswer(told.sources, rows)


def content_of(path: Path, basis: str, progress: Progress, keys: Keys = NO_KEYS) -> Content:
    """What an image holds, from its disk or from its descriptor alone.

    Raises: as `open_image`, `open_system` and `read_claims`.
    """
    if basis == "descriptor":
        (claim, *_) = read_claims(path)
        return claim.content
    with open_image(path, keys) as image:
        progress.step(f"Reading {path.name}")
        with open_system(image, image.only_system) as inspected:
            return inspected.content


def _placed(
    source: Source, image: str, content: Content, policy: SitePolicy, cache: Path
) -> tuple[FeedRow, Seen | None]:
    """One source of an image, and what was seen of it last."""
    told = FeedRow(
        image=image,
        where=source.where,
        type=source.type,
        uri=source.uri,
        suite=source.suite,
        enabled=source.enabled,
        signers=signers_of(source.uri, policy),
    )
    try:
        tops = folders_of(source, content, policy)
        places = [decide(top, policy)[0].url for top in tops]
        statements = [top + name for top in tops for name in statements_of(source)]
        readings = [place.url for one in statements for place in decide(one, policy)]
    except SourceRefused as error:
        return replace(told, why=error.why), None
    seen = next(filter(None, (find_seen(cache, one) for one in readings)), None)
    shown = seen.place if seen else next(iter(places), "")
    return replace(told, allowed=True, place=shown), seen


def _seen_row(seen: Seen, now: datetime) -> FeedRow:
    """A repository that was seen, whoever named it."""
    state = seen.state
    told = FeedRow(uri=state.uri, suite=state.suite, place=seen.place, allowed=True)
    return _with_seen(told, seen, now)


def _with_seen(row: FeedRow, seen: Seen | None, now: datetime) -> FeedRow:
    if seen is None:
        return row
    end = seen.state.valid_until
    return replace(
        row,
        state=seen.state,
        read=seen.read,
        age_days=_days(seen.state.date, now),
        expired=bool(end) and _time(end) < now,
    )


def _advisory_rows(policy: SitePolicy, cache: Path) -> Iterator[AdvisoryRow]:
    """The site's feeds of advisories, with what was fetched from addresses last."""
    for place in policy.advisories:
        yield AdvisoryRow(place, last_fetched(place, cache))


def _days(date: str, now: datetime) -> float | None:
    return round((now - _time(date)).total_seconds() / 86400, 1) if date else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
