"""Which approach of today is which one of yesterday: a new orbit moves an approach, by minutes or by days. What follows
for the calendar is in `calendar`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

MOST_MOVED = timedelta(days=10)
"""How far a new orbit may move an approach for it to count as the same one."""


def paired(before: Sequence[datetime], after: Sequence[datetime]) -> dict[int, int]:
    """Which approaches of one NEO are the same in two lists of times.

    Of all ways to pair them in their order, the one that moves them least. So two approaches never change places.

    Args:
        before: times in ascending order.
        after: times in ascending order.

    Returns:
        For positions in `before`, the positions in `after`; without those that have no partner within `MOST_MOVED`.
    """
    alone = MOST_MOVED / 2  # two without a partner cost as much as a pair that is just too far apart
    # For the rest of both lists from two positions on: how far all is moved, and the pairs.
    best: dict[tuple[int, int], tuple[timedelta, dict[int, int]]] = {}
    for i in range(len(before), -1, -1):
        for j in range(len(after), -1, -1):
            ways = [] if i < len(before) or j < len(after) else [(timedelta(), dict[int, int]())]
            if i < len(before) and j < len(after):
                cost, pairs = best[i + 1, j + 1]
                ways.append((cost + abs(before[i] - after[j]), {i: j} | pairs))
            for further in ((i + 1, j), (i, j + 1)):
                if further in best:
                    cost, pairs = best[further]
                    ways.append((cost + alone, pairs))
            best[i, j] = min(ways, key=lambda way: way[0])
    return best[0, 0][1]
