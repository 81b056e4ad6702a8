"""A schedule as what it does differently from the calmest one: delays with a name each.

In the calmest schedule every access takes its least time and of two events that could come next the
older one comes. A delay says how much longer one message or timer takes; it is named by its link
and by how many of that link were asked about before. So one delay can be taken away, or the board
changed, and all the others still mean the same.
"""

from collections.abc import Mapping, Sequence

from bus.world.event import Event, Link
from bus.world.strategies import TapeStrategy

Delay = tuple[str, str, int]
"""Source, destination and number of what is delayed. For a timer its node and its kind."""

OVERTAKES = "overtakes:"
"""Begins the first name of a delay that lets a younger event come before an older one."""


class DelayStrategy:
    """The calmest schedule with some delays; those that fit nothing are without effect.

    Given delays are cut to what the link allows. `used` are those that had an effect.
    """

    def __init__(self, delays: Mapping[Delay, int], windows: bool = False) -> None:
        self.windows = windows
        self.used: dict[Delay, int] = {}
        self._delays = delays
        self._asked: dict[Link, int] = {}

    def latency(self, low: int, high: int, link: Link) -> int:
        """The least value, or what the delay of this name adds."""
        delay = self._named(link)
        extra = min(self._delays.get(delay, 0), high - low)
        if extra:
            self.used[delay] = extra
        return low + extra

    def pick(self, enabled: Sequence[Event]) -> int:
        """The first event that is allowed to overtake; else the oldest."""
        chosen = 0
        for index in range(len(enabled) - 1, 0, -1):
            delay = self._named(overtaking(enabled[index]))
            if delay in self._delays:
                self.used[delay] = 1
                chosen = index
        return chosen

    def _named(self, link: Link) -> Delay:
        return named(self._asked, link)


class ObservedTape(TapeStrategy):
    """Plays a tape and notes what it does differently from the calmest schedule."""

    def __init__(self, choices: Sequence[int], windows: bool = False) -> None:
        super().__init__(choices, windows)
        self.delays: dict[Delay, int] = {}
        self._asked: dict[Link, int] = {}

    def latency(self, low: int, high: int, link: Link) -> int:
        """The recorded latency."""
        chosen = super().latency(low, high, link)
        delay = named(self._asked, link)
        if chosen > low:
            self.delays[delay] = chosen - low
        return chosen

    def pick(self, enabled: Sequence[Event]) -> int:
        """The recorded index."""
        chosen = super().pick(enabled)
        for index in range(len(enabled) - 1, 0, -1):
            delay = named(self._asked, overtaking(enabled[index]))
            if index == chosen:
                self.delays[delay] = 1
        return chosen


def overtaking(event: Event) -> Link:
    """The link under which an event that might overtake is counted."""
    source, destination = event.link
    return OVERTAKES + source, destination


def named(asked: dict[Link, int], link: Link) -> Delay:
    """The name of the next delay of a link; counts it."""
    source, destination = link
    # `delay.17` and `until.4` are numbered by their node's transactions: the kind is what stays.
    kind, dot, number = destination.partition(".")
    if dot and number.isdecimal():
        link = (source, kind)
    count = asked.get(link, 0)
    asked[link] = count + 1
    return (*link, count)
