import itertools

from hypothesis import given
from hypothesis import strategies as st

from regild.image.grains import runs_of
from regild.image.spans import joined, outside, whole_units

spans = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30))).map(sorted)


def covered(pairs):
    return {place for offset, length in pairs for place in range(offset, offset + length)}


def are_apart(pairs):
    return all(a + b < c for (a, b), (c, _d) in itertools.pairwise(pairs))


@given(spans, spans)
def test_joined_spans_cover_what_any_of_them_covers_and_are_apart(one, two):
    both = list(joined(one, two))
    assert covered(both) == covered(one) | covered(two)
    assert are_apart(both)


@given(spans, spans)
def test_outside_takes_away_exactly_what_is_cut(one, cuts):
    rest = list(outside(joined(one), cuts))
    assert covered(rest) == covered(one) - covered(cuts)
    assert rest == sorted(rest)


@given(spans, st.integers(1, 16), st.integers(1, 240))
def test_a_unit_is_whole_only_when_all_its_bytes_are(one, unit, end):
    one = [(offset, length) for offset, length in one if offset + length <= end]
    have = covered(one)
    expected = [
        number
        for number in range(-(-end // unit))
        if set(range(number * unit, min(end, (number + 1) * unit))) <= have
    ]
    found = [number for units in whole_units(one, unit, end) for number in units]
    assert found == expected


@given(st.sets(st.integers(0, 50)))
def test_runs_of_numbers_cover_them_and_stop_at_the_end(numbers):
    end = max(numbers, default=0) * 8 + 3
    runs = list(runs_of(sorted(numbers), 8, end))
    assert covered(runs) == {p for n in numbers for p in range(n * 8, min(n * 8 + 8, end))}
    assert are_apart(runs)
