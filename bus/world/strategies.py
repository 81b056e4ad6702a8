"""Strategies answer every question the world asks; a seeded one answers at random.

The world asks two kinds of question: how long does this take, inside its range, and which of the
events that could come next comes next. Every answer goes onto the tape.
"""

import random
from collections.abc import Sequence
from typing import Protocol


class Strategy(Protocol):
    """Decides what the architecture leaves open."""

    def latency(self, low: int, high: int) -> int:
        """A value inside [low, high]; asked only when low < high."""

    def pick(self, enabled: int) -> int:
        """An index below `enabled`; asked only when at least two events are enabled."""


class RandomStrategy:
    """Uniform latencies, with both ends of each range made more likely: races live there."""

    EDGE = 0.08

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed).random

    def latency(self, low: int, high: int) -> int:
        """A random value inside [low, high]."""
        drawn = self._draw()
        if drawn < self.EDGE:
            return low
        if drawn > 1 - self.EDGE:
            return high
        return low + int((drawn - self.EDGE) / (1 - 2 * self.EDGE) * (high - low))

    def pick(self, enabled: int) -> int:
        """A random index."""
        return int(self._draw() * enabled)


class FifoStrategy:
    """The calmest schedule: everything takes its least time and comes in the order it was sent."""

    def latency(self, low: int, high: int) -> int:
        """The least value."""
        return low

    def pick(self, enabled: int) -> int:
        """The oldest event."""
        return 0


class Diverged(Exception):
    """A tape does not fit the run: it is too short or answers out of range."""


class TapeStrategy:
    """Gives the recorded answers again; latencies on the tape are offsets from the least value.

    Raises `Diverged` with the number of the choice when an answer is missing or not allowed.
    """

    def __init__(self, choices: Sequence[int]) -> None:
        self._choices = choices
        self._next = 0

    def latency(self, low: int, high: int) -> int:
        """The recorded latency."""
        return low + self._take(high - low + 1)

    def pick(self, enabled: int) -> int:
        """The recorded index."""
        return self._take(enabled)

    def _take(self, limit: int) -> int:
        position = self._next
        if position >= len(self._choices):
            raise Diverged(f"the tape ends after {position} choices, but the run asks for another")
        choice = self._choices[position]
        if not 0 <= choice < limit:
            raise Diverged(f"choice {position} on the tape is {choice}, expected 0 to {limit - 1}")
        self._next = position + 1
        return choice
