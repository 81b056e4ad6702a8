"""Probabilistic concurrency testing on a board with time: actors are fast or slow, and change.

Source: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic
Guarantees of Finding Bugs" (ASPLOS 2010): threads get random priorities, and at depth - 1 random
places the priority of the running thread drops. On a board a low priority is a processor whose
every access takes its longest time.
"""

import random
from collections.abc import Collection, Sequence

from bus.world.event import Event, Link
from proto.ids import NodeId

DEPTHS = (1, 2, 3, 4, 5)
"""Numbers of ordering constraints for which a schedule can be made."""


class PctStrategy:
    """Gives every actor a pace, and turns `depth` - 1 of them round on the way.

    `horizon` is about how many choices a run has; the turning points lie inside. A message from or
    to one of the `shared` blocks belongs to the actor at its other end, who waits for it.
    """

    windows = False
    EXTREME = 0.4
    """Share of actors that are as fast as can be, and of those that are as slow as can be."""

    def __init__(self, seed: int, depth: int, horizon: int, shared: Collection[NodeId]) -> None:
        assert depth in DEPTHS, f"PCT is defined for depths {DEPTHS[0]} to {DEPTHS[-1]}"
        self._random = random.Random(seed)
        self._shared = frozenset[str](shared)
        self._slowness: dict[str, float] = {}
        places = range(max(1, horizon))
        self._turns = sorted(self._random.choices(places, k=depth - 1), reverse=True)
        self._asked = 0

    def latency(self, low: int, high: int, link: Link) -> int:
        """The time that the pace of its actor gives."""
        actor = link[1] if link[0] in self._shared else link[0]
        slowness = self._pace(actor)
        return low + int(slowness * (high - low))

    def pick(self, enabled: Sequence[Event]) -> int:
        """The event of the fastest actor; of two that are equally fast the older one."""
        paces = [self._pace(event.node) for event in enabled]
        return paces.index(min(paces))

    def _pace(self, actor: str) -> float:
        slowness = self._slowness.get(actor)
        if slowness is None:
            slowness = self._slowness[actor] = self._draw()
        self._asked += 1
        if self._turns and self._asked > self._turns[-1]:
            self._turns.pop()
            slowness = self._slowness[actor] = 0.0 if slowness > 0.5 else 1.0
        return slowness

    def _draw(self) -> float:
        drawn = self._random.random()
        if drawn < self.EXTREME:
            return 0.0
        if drawn > 1 - self.EXTREME:
            return 1.0
        return (drawn - self.EXTREME) / (1 - 2 * self.EXTREME)
