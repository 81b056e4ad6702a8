"""Branches off schedules that reached something new."""

import random
from collections.abc import Sequence

from bus.world.event import Event, Link
from bus.world.strategies import RandomStrategy


class BranchStrategy:
    """Follows the first choices of a known schedule, and goes on at random from there.

    The known schedule has to be one of the same board and of a strategy without windows: then every
    choice of the prefix is allowed again.
    """

    windows = False

    def __init__(self, seed: int, prefix: Sequence[int]) -> None:
        self._prefix = prefix
        self._next = 0
        self._free = RandomStrategy(seed)

    def latency(self, low: int, high: int, link: Link) -> int:
        """The known answer, or a random one."""
        if self._next < len(self._prefix):
            self._next += 1
            return low + self._prefix[self._next - 1]
        return self._free.latency(low, high, link)

    def pick(self, enabled: Sequence[Event]) -> int:
        """The known answer, or a random one."""
        if self._next < len(self._prefix):
            self._next += 1
            return self._prefix[self._next - 1]
        return self._free.pick(enabled)


class Corpus:
    """Schedules that reached something new, with the choices at which they did.

    `add` keeps a schedule if its marks hold a new one; `branch` takes a schedule and a place near
    one of its discoveries. Both depend on nothing but the seed and the order of the calls.
    """

    BEFORE = 200
    """How many choices before a discovery a branch may leave the known schedule."""

    def __init__(self) -> None:
        self.reached: set[int] = set()
        self._entries: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def add(self, choices: Sequence[int], marks: Sequence[tuple[int, int]]) -> int:
        """Take a schedule in; `marks` are (state, number of choices before it). Gives the new."""
        fresh = [(state, place) for state, place in marks if state not in self.reached]
        self.reached.update(state for state, _ in fresh)
        if fresh:
            # Only the way to the last discovery matters: what follows is drawn afresh.
            places = tuple(place for _, place in fresh)
            self._entries.append((tuple(choices[: max(places)]), places))
        return len(fresh)

    def branch(self, seed: int) -> tuple[int, ...]:
        """The choices to begin with; empty while nothing is known."""
        if not self._entries:
            return ()
        rng = random.Random(seed)
        choices, places = rng.choice(self._entries)
        place = rng.choice(places)
        return choices[: max(0, place - rng.randrange(self.BEFORE))]
