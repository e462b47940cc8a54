"""Ranges of bytes as ascending, separate (offset, length) pairs, joined and cut lazily."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

Span = tuple[int, int]
Places = tuple[Span, ...]
"""Where the bytes of a volume lie on its disk, in the volume's order."""


def joined(*sides: Iterable[Span]) -> Iterator[Span]:
    """What lies in any of them; neighbours and overlaps become one."""
    begin = end = -1
    for offset, length in heapq.merge(*sides):
        if length <= 0:
            continue
        if begin >= 0 and offset <= end:
            end = max(end, offset + length)
            continue
        if begin >= 0:
            yield begin, end - begin
        begin, end = offset, offset + length
    if begin >= 0:
        yield begin, end - begin


def outside(spans: Iterable[Span], cuts: Iterable[Span]) -> Iterator[Span]:
    """What lies in `spans` and not in `cuts`; both ascending, `spans` apart."""
    remaining = iter(joined(cuts))
    cut = next(remaining, None)
    for offset, length in spans:
        begin, end = offset, offset + length
        while cut is not None and cut[0] < end:
            if cut[0] > begin:
                yield begin, cut[0] - begin
            begin = max(begin, cut[0] + cut[1])
            if cut[0] + cut[1] > end:
                break
            cut = next(remaining, None)
        if begin < end:
            yield begin, end - begin


def whole_units(spans: Iterable[Span], unit: int, end: int) -> Iterator[range]:
    """The numbers of the units that lie wholly in `spans`, as ascending ranges; the last unit ends
    at `end`."""
    for offset, length in joined(spans):
        first = -(-offset // unit)
        last = (offset + length) // unit if offset + length < end else -(-end // unit)
        if first < last:
            yield range(first, last)
