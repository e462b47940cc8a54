"""Windows and freezes: repeated, cut out, over midnight, and when the clocks change."""

from datetime import UTC, datetime, timedelta

import pytest

from regild.errors import Malformed, TooLarge
from regild.rotate.calendar import ALWAYS, Calendar, read_calendar

SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def ics(*events: str, zone: str = "") -> str:
    told = [f"X-WR-TIMEZONE:{zone}"] if zone else []
    rows = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//regild//tests//EN", *told]
    for number, event in enumerate(events):
        rows += ["BEGIN:VEVENT", f"UID:{number}@mirror.example", "DTSTAMP:20260101T000000Z"]
        rows += [*event.splitlines(), "END:VEVENT"]
    return "\r\n".join([*rows, "END:VCALENDAR", ""])


NIGHTLY = "DTSTART;TZID=Europe/Berlin:20260105T220000\nDURATION:PT4H\nRRULE:FREQ=DAILY"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def calendar(windows: str = "", freezes: str = "") -> Calendar:
    return read_calendar(windows, freezes, SINCE, UNTIL)


def test_without_windows_and_freezes_it_is_always_open() -> None:
    assert calendar() is ALWAYS
    assert ALWAYS.left(at("2026-06-01")) > timedelta(days=10_000)


def test_a_window_is_open_from_its_begin_to_before_its_end() -> None:
    one = calendar(ics("DTSTART:20260301T100000Z\nDTEND:20260301T120000Z"))
    assert one.left(at("2026-03-01T09:59:59")) == timedelta()
    assert one.left(at("2026-03-01T10:00:00")) == timedelta(hours=2)
    assert one.left(at("2026-03-01T12:00:00")) == timedelta()


def test_local_time_is_kept_when_the_clocks_change() -> None:
    one = calendar(ics(NIGHTLY))
    # 22:00 in Berlin is 21:00 UTC in winter and 20:00 UTC in summer.
    assert one.next_open(at("2026-03-28T12:00")) == at("2026-03-28T21:00")
    assert one.next_open(at("2026-03-29T12:00")) == at("2026-03-29T20:00")
    assert one.next_open(at("2026-10-24T12:00")) == at("2026-10-24T20:00")
    assert one.next_open(at("2026-10-25T12:00")) == at("2026-10-25T21:00")


def test_a_window_in_the_hour_that_does_not_exist_and_in_the_one_that_comes_twice() -> None:
    text = "DTSTART;TZID=Europe/Berlin:20260101T023000\nDURATION:PT1H\nRRULE:FREQ=DAILY"
    one = calendar(ics(text))
    spring = [span for span in one.open if span[0].date() == at("2026-03-29").date()]
    autumn = [span for span in one.open if span[0].date() == at("2026-10-25").date()]
    assert len(spring) == len(autumn) == 1
    assert spring[0][1] - spring[0][0] == timedelta(hours=1)
    assert autumn[0] == (at("2026-10-25T00:30"), at("2026-10-25T01:30"))


def test_a_window_over_midnight_is_one() -> None:
    one = calendar(ics(NIGHTLY))
    assert one.left(at("2026-02-03T00:30")) == timedelta(minutes=30)


def test_dates_that_are_left_out() -> None:
    one = calendar(ics(NIGHTLY + "\nEXDATE;TZID=Europe/Berlin:20260203T220000"))
    assert one.next_open(at("2026-02-03T12:00")) == at("2026-02-04T21:00")


def test_a_freeze_beats_a_window_and_may_cut_it_in_two() -> None:
    freeze = ics("DTSTART:20260203T220000Z\nDTEND:20260203T230000Z")
    one = calendar(ics(NIGHTLY), freeze)
    assert one.left(at("2026-02-03T21:30")) == timedelta(minutes=30)
    assert one.left(at("2026-02-03T22:30")) == timedelta()
    assert one.left(at("2026-02-03T23:00")) == timedelta(hours=2)


def test_a_freeze_of_whole_days_lasts_to_their_last_midnight() -> None:
    freeze = ics("DTSTART;VALUE=DATE:20261220\nDTEND;VALUE=DATE:20261227", zone="Europe/Berlin")
    one = calendar("", freeze)
    assert one.next_open(at("2026-12-20T12:00")) == at("2026-12-26T23:00")
    assert one.left(at("2026-12-19T22:00")) == timedelta(hours=1)


def test_the_next_window_that_is_long_enough() -> None:
    short = "DTSTART:20260301T100000Z\nDTEND:20260301T103000Z"
    long = "DTSTART:20260401T100000Z\nDTEND:20260401T140000Z"
    one = calendar(ics(short, long))
    assert one.next_open(SINCE) == at("2026-03-01T10:00")
    assert one.next_open(SINCE, timedelta(hours=2)) == at("2026-04-01T10:00")
    assert one.next_open(at("2026-04-01T13:00"), timedelta(hours=2)) is None


def test_windows_that_touch_are_one() -> None:
    first = "DTSTART:20260301T100000Z\nDTEND:20260301T110000Z"
    second = "DTSTART:20260301T110000Z\nDTEND:20260301T120000Z"
    assert calendar(ics(first, second)).left(at("2026-03-01T10:30")) == timedelta(minutes=90)


WRONG = {
    "no calendar": "hello",
    "no event": ics(),
    "no begin": ics("DURATION:PT1H"),
    "no end": ics("DTSTART:20260301T100000Z"),
    "no such zone": ics("DTSTART:20260301T100000\nDURATION:PT1H", zone="Middle/Earth"),
    "no time": ics("DTSTART:yesterday\nDURATION:PT1H"),
    "bad rule": ics("DTSTART:20260301T100000Z\nDURATION:PT1H\nRRULE:FREQ=SOMETIMES"),
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        calendar(text)


BOMBS = {
    "each second": ics("DTSTART:20260301T100000Z\nDURATION:PT1S\nRRULE:FREQ=SECONDLY"),
    "each minute": ics("DTSTART:20260301T100000Z\nDURATION:PT1S\nRRULE:FREQ=MINUTELY"),
    "minutes of each hour": ics(
        "DTSTART:20260301T100000Z\nDURATION:PT1S\nRRULE:FREQ=HOURLY;BYMINUTE="
        + ",".join(str(one) for one in range(60))
    ),
    "too long": "X" * (2 << 20),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_endless_work_is_refused(text: str) -> None:
    with pytest.raises(TooLarge):
        calendar(text)


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("DTSTART:00010101T000000Z\nDURATION:PT1H\nRRULE:FREQ=HOURLY", 1),
        ("DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", 50),
        ("DTSTART:00010101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY", 1000),
    ],
)
def test_rules_that_take_long_to_work_out_are_refused(rule: str, count: int) -> None:
    with pytest.raises(TooLarge):
        calendar(ics(*[rule] * count))


def test_windows_that_began_long_ago_are_worked_out() -> None:
    nights = [f"DTSTART:19900101T2{n}0000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY" for n in range(4)]
    one = calendar(ics(*nights))
    assert one.left(at("2026-06-01T20:00:00")) == timedelta(hours=4)
