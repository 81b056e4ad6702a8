"""Exhaustive search of all orders within a bound on delays, without storing states.

The default order takes the pending event that could come first. Taking the i-th instead delays the
i before it and costs i; a schedule may cost `bound` in all (Emmi, Qadeer, Rakamaric,
"Delay-bounded scheduling", POPL 2011). Events keep their windows of time, and come as early as the
chosen order allows.

Reduction: nodes are functions of what they were given and when, so two prefixes that gave every
node the same inputs at the same times, in whatever order across nodes, have led to the same world.
The second one is cut off if the first one had at least as many delays left. The order of ties
depends on the world only, not on the way to it, so the cut is sound within the bound.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bus.world.event import Event, Link
from proto.ids import NodeId
from proto.turn import Turn


class CutOff(Exception):
    """This schedule has reached a world from which everything in reach has been tried."""


@dataclass(slots=True)
class _Place:
    """A place in the search: the picks that lead there, and the delays they cost."""

    picks: tuple[int, ...]
    cost: int


@dataclass(slots=True)
class Search:
    """What is known and what is left of one search."""

    bound: int
    begins: Callable[[Turn], bool] | None = None
    """Up to the first turn for which this holds the default order is taken, at no cost; None
    searches from the start."""
    schedules: int = 0
    cut_off: int = 0
    _left: list[_Place] = field(default_factory=lambda: [_Place((), 0)])
    _seen: dict[int, int] = field(default_factory=dict)

    def strategies(self) -> Iterator["BoundedStrategy"]:
        """One strategy for each schedule, until everything within the bound has been tried.

        The schedule has to be run before the next strategy is taken.
        """
        while self._left:
            self.schedules += 1
            yield BoundedStrategy(self, self._left.pop())

    @property
    def is_complete(self) -> bool:
        """Whether everything within the bound has been tried."""
        return not self._left

    @property
    def worlds(self) -> int:
        """How many different worlds with a choice to make have been met."""
        return len(self._seen)

    def enter(self, world: int, cost: int) -> bool:
        """Note a world with what is left to spend; False if it has been entered with as much."""
        left = self.bound - cost
        if self._seen.get(world, -1) >= left:
            self.cut_off += 1
            return False
        self._seen[world] = left
        return True

    def later(self, picks: tuple[int, ...], cost: int) -> None:
        """Try a schedule that begins like this."""
        self._left.append(_Place(picks, cost))


class BoundedStrategy:
    """One schedule of a search: given picks first, then the default order.

    `record` has to see every turn of the world. Raises `CutOff` where the rest has been tried.
    """

    windows = True

    def __init__(self, search: Search, place: _Place) -> None:
        self._search = search
        self._given = place.picks
        self._cost = place.cost
        self._picks: list[int] = []
        self._histories: dict[NodeId, int] = {}
        self._now = 0
        self._begun = search.begins is None

    def record(self, turn: Turn) -> None:
        """Note what a node was given."""
        begins = self._search.begins
        self._begun = self._begun or begins is None or begins(turn)
        self._now = turn.now
        before = self._histories.get(turn.node, 0)
        self._histories[turn.node] = hash((before, turn.input, turn.now))

    def latency(self, low: int, high: int, link: Link) -> int:
        """Not asked: events keep their windows."""
        raise AssertionError(link)

    def pick(self, enabled: Sequence[Event]) -> int:
        """The given pick, or the default one; alternatives within the bound are noted for later."""
        order = sorted(range(len(enabled)), key=lambda index: _key(enabled[index]))
        if not self._begun:
            return order[0]
        number = len(self._picks)
        if number < len(self._given):
            chosen = self._given[number]
        else:
            if not self._search.enter(self._world(), self._cost):
                raise CutOff
            spare = self._search.bound - self._cost
            for delays in range(min(len(order) - 1, spare), 0, -1):
                self._search.later((*self._picks, delays), self._cost + delays)
            chosen = 0
        self._picks.append(chosen)
        return order[chosen]

    def _world(self) -> int:
        return hash((self._now, frozenset(self._histories.items())))


def _key(event: Event) -> tuple[int, str, tuple[str, str]]:
    """An order that depends on what is pending, not on how it came to be."""
    return event.earliest_ns, event.node, event.link
