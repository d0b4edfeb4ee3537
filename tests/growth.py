"""How the time of some work grows with the length of what it is given."""

from __future__ import annotations

import time
from collections.abc import Callable

# Below it, what a clock and a first call add is the larger part.
LEAST = 0.02


def growth(work: Callable[[int], object], short: int, long: int) -> float:
    """Processor seconds at the long length over those at the short one, each the least of three.

    The ratio is near `long / short` where time grows with length alone, and near its square where
    every part is compared with every other; a slow machine changes neither.
    """

    def seconds(length: int) -> float:
        taken = list[float]()
        for _ in range(3):
            began = time.process_time()
            work(length)
            taken.append(time.process_time() - began)
        return max(min(taken), LEAST)

    return seconds(long) / seconds(short)
