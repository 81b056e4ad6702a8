"""Strategies answer every question the world asks, and every answer goes onto the tape.

The world asks two kinds of question: how long does this take, inside its range, and which of the
events that could come next comes next. A strategy that works with `windows` is asked the second
only: an event keeps its whole range and is delivered as early as the chosen order allows.
"""

import random
from collections.abc import Sequence
from typing import Protocol

from bus.world.event import Event, Link


class Strategy(Protocol):
    """Decides what the architecture leaves open."""

    @property
    def windows(self) -> bool:
        """Whether events keep their ranges; fixed for the whole run."""

    def latency(self, low: int, high: int, link: Link) -> int:
        """A value inside [low, high]; asked only when low < high."""

    def pick(self, enabled: Sequence[Event]) -> int:
        """An index into the events that could come next, oldest first; there are at least two."""


EDGE = 0.08
"""How likely a random latency is the least of its range; the greatest is as likely."""
UPPER_EDGE = 1 - EDGE
BETWEEN = 1 - 2 * EDGE


class RandomStrategy:
    """Uniform latencies, with both ends of each range made more likely: races live there."""

    def __init__(self, seed: int, windows: bool = False) -> None:
        self.windows = windows
        self._draw = random.Random(seed).random

    def latency(self, low: int, high: int, link: Link) -> int:
        """A random value inside [low, high]."""
        drawn = self._draw()
        if drawn < EDGE:
            return low
        if drawn > UPPER_EDGE:
            return high
        return low + int((drawn - EDGE) / BETWEEN * (high - low))

    def pick(self, enabled: Sequence[Event]) -> int:
        """A random index."""
        return int(self._draw() * len(enabled))


class FifoStrategy:
    """The calmest schedule: everything takes its least time and comes in the order it was sent."""

    windows = False

    def latency(self, low: int, high: int, link: Link) -> int:
        """The least value."""
        return low

    def pick(self, enabled: Sequence[Event]) -> int:
        """The oldest event."""
        return 0


class Diverged(Exception):
    """A tape does not fit the run: it is too short or answers out of range."""


class TapeStrategy:
    """Gives the recorded answers again; latencies on the tape are offsets from the least value.

    Raises `Diverged` with the number of the choice when an answer is missing or not allowed.
    """

    def __init__(self, choices: Sequence[int], windows: bool = False) -> None:
        self.windows = windows
        self._choices = choices
        self._next = 0

    @property
    def left(self) -> int:
        """How many answers nobody has asked for."""
        return len(self._choices) - self._next

    def latency(self, low: int, high: int, link: Link) -> int:
        """The recorded latency."""
        return low + self._take(high - low + 1)

    def pick(self, enabled: Sequence[Event]) -> int:
        """The recorded index."""
        return self._take(len(enabled))

    def _take(self, limit: int) -> int:
        position = self._next
        if position >= len(self._choices):
            raise Diverged(f"the tape ends after {position} choices, but the run asks for another")
        choice = self._choices[position]
        if not 0 <= choice < limit:
            raise Diverged(f"choice {position} on the tape is {choice}, expected 0 to {limit - 1}")
        self._next = position + 1
        return choice
