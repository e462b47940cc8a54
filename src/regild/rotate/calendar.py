"""When a group may be rotated: the windows of an iCalendar text less its freezes (RFC 5545).

Occurrences are worked out once for a span of time; asking for a moment is then a search in a short
list. Rules that repeat more often than hourly are refused, because they say nothing about
maintenance and could be endless work.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from regild.errors import Malformed, TooLarge

TEXT_LIMIT = 1 << 20
EVENTS_LIMIT = 2000
OCCURRENCES_LIMIT = 50_000
MINUTES_LIMIT = 4
TOO_OFTEN = ("SECONDLY", "MINUTELY")
STEPS_LIMIT = 300_000
"""Times that all rules together may have gone through since their begin."""
HOURLY_LIMIT = 10
"""Events that repeat hourly; more are no maintenance, and each may be slow to work out."""
HOURS = {"HOURLY": 1, "DAILY": 24}
A_WEEK = 168

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The times in which a group may be rotated, as spans that are sorted and do not touch."""

    open: tuple[Span, ...]

    def left(self, now: datetime) -> timedelta:
        """How long it is still open; nothing while it is closed."""
        number = bisect.bisect_right(self.open, now, key=lambda span: span[0]) - 1
        if number < 0 or self.open[number][1] <= now:
            return timedelta()
        return self.open[number][1] - now

    def next_open(self, now: datetime, at_least: timedelta = timedelta()) -> datetime | None:
        """The next time from `now` on at which it is open for so long; None where none is known."""
        for begin, end in self.open:
            start = max(begin, now)
            if end > now and end - start >= at_least and end > start:
                return start
        return None


ALWAYS = Calendar(((datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),))


def read_calendar(
    windows: str, freezes: str | tuple[str, ...], since: datetime, until: datetime
) -> Calendar:
    """The calendar between two times; without windows it is open but for the freezes, of which
    there may be several texts.

    Raises: Malformed for what is not iCalendar, TooLarge for more than can be meant.
    """
    if not windows and not freezes:
        return ALWAYS
    opened = spans_of(windows, "the windows", since, until) if windows else [(since, until)]
    texts = (freezes,) if isinstance(freezes, str) else freezes
    closed = [span for text in texts for span in spans_of(text, "the freezes", since, until)]
    return Calendar(tuple(_less(opened, _merged(closed))))


def spans_of(text: str, where: str, since: datetime, until: datetime) -> list[Span]:
    """The times of all events of an iCalendar text between two times, merged, in UTC.

    An event of whole days lasts from midnight to midnight of the calendar's time zone
    (X-WR-TIMEZONE) or UTC.

    Raises: Malformed, TooLarge.
    """
    if not text:
        return []
    if len(text) > TEXT_LIMIT:
        raise TooLarge(where=where, why=f"the calendar holds more than {TEXT_LIMIT} characters")
    import recurring_ical_events

    parsed = _parsed(text, where, until)
    zone = _zone_of(parsed, where)
    spans: list[Span] = []
    try:
        # One day more on either side: an event without a zone is shifted by less.
        found = recurring_ical_events.of(parsed).between(
            since - timedelta(days=1), until + timedelta(days=1)
        )
        for event in found:
            if len(spans) == OCCURRENCES_LIMIT:
                raise TooLarge(where=where, why=f"more than {OCCURRENCES_LIMIT} times are in it")
            spans.append(_span(event.start, event.end, zone))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise Malformed(where=where, why=f"a time cannot be worked out: {error}") from error
    return _merged((max(begin, since), min(end, until)) for begin, end in spans)


def _parsed(text: str, where: str, until: datetime) -> Any:
    """The calendar's components, each of which was looked at.

    Raises: Malformed, TooLarge.
    """
    from icalendar import Calendar as Parsed

    try:
        parsed = Parsed.from_ical(text)
        events = list(parsed.walk("VEVENT"))
        if len(events) > EVENTS_LIMIT:
            raise TooLarge(where=where, why=f"more than {EVENTS_LIMIT} events are in it")
        for event in events:
            _check_event(event, where)
        _check_work(events, where, until)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Malformed(where=where, why=f"it is not iCalendar: {error}") from error
    if not events:
        raise Malformed(where=where, why="there is no event in the calendar")
    return parsed


def _check_event(event: Any, where: str) -> None:
    if event.get("DTSTART") is None:
        raise Malformed(where=where, why="an event has no DTSTART")
    if event.get("DTEND") is None and event.get("DURATION") is None and _is_moment(event):
        raise Malformed(where=where, why="an event has neither DTEND nor DURATION")
    for often, rule in _rules(event):
        fine = rule.get("BYSECOND") or len(rule.get("BYMINUTE", [])) > MINUTES_LIMIT
        if set(often) & set(TOO_OFTEN) or fine:
            raise TooLarge(where=where, why=f"it repeats too often: {', '.join(often)}")


def _check_work(events: list[Any], where: str, until: datetime) -> None:
    """Refuse rules that would take long to work out: they are gone through from their begin, which
    may be in the year 1.

    Raises: TooLarge.
    """
    steps = hourly = 0
    for event in events:
        begin = _plain(event["DTSTART"].dt)
        for often in (word for words, _ in _rules(event) for word in words):
            hourly += often == "HOURLY"
            hours = (until.replace(tzinfo=None) - begin).total_seconds() / 3600
            steps += max(0, int(hours / HOURS.get(often, A_WEEK)))
    if steps > STEPS_LIMIT or hourly > HOURLY_LIMIT:
        raise TooLarge(where=where, why="its rules would repeat too often, or begin too early")


def _rules(event: Any) -> Iterator[tuple[list[str], Any]]:
    """The rules of an event, each with how often it repeats."""
    for name in ("RRULE", "EXRULE"):
        rules = event.get(name) or []
        for rule in rules if isinstance(rules, list) else [rules]:
            yield [str(word).upper() for word in rule.get("FREQ", [])], rule


def _is_moment(event: Any) -> bool:
    return isinstance(event["DTSTART"].dt, datetime)


def _zone_of(parsed: Any, where: str) -> Any:
    """The time zone of what names none."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    name = str(parsed.get("X-WR-TIMEZONE", "")) or "UTC"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Malformed(where=where, why=f"there is no time zone {name!r}") from error


def _span(start: date | datetime, end: date | datetime, zone: Any) -> Span:
    """An occurrence in UTC. Where the clocks change within it, the shorter of two readings counts:
    until its end on the clock, or for its length. RFC 5545 (3.3.6 and 3.8.5.3) would keep the
    length, people mean the clock, and too short harms nobody."""
    begin, on_the_clock = _utc(start, zone), _utc(end, zone)
    by_length = begin + (_plain(end) - _plain(start))
    return begin, min(on_the_clock, by_length) if on_the_clock > begin else by_length


def _plain(moment: date | datetime) -> datetime:
    """What the clock on the wall shows."""
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time())
    return moment.replace(tzinfo=None)


def _utc(moment: date | datetime, zone: Any) -> datetime:
    told = moment.tzinfo if isinstance(moment, datetime) else None
    return _plain(moment).replace(tzinfo=told or zone).astimezone(UTC)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that touch made one, empty ones left out."""
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > begin:
            merged.append((begin, end))
    return merged


def _less(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """What is left of some spans outside of the holes; both are in order."""
    left = []
    for span in spans:
        here, end = span
        for begin, until in holes:
            if until <= here or begin >= end:
                continue
            if begin > here:
                left.append((here, begin))
            here = until
        if here < end:
            left.append((here, end))
    return left
