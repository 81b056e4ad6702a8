"""What the hub has refused: all of it counted, the first of it journalled, the sum at the end."""

from collections.abc import Callable

JOURNALLED = 100
"""Refusals that get a record of their own; all are counted."""

TURNED_AWAY_MAX = 1024
"""Refused connections that are remembered, so that nothing more of theirs is read."""


class Refusals:
    """Counts refusals; `note` writes a record of whom and why."""

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self.count = 0
        self._note = note
        self._noted = 0
        self._turned_away: dict[bytes, None] = {}

    def add(self, who: str, reason: str, count: int = 1) -> None:
        """Something of somebody's was refused, so often."""
        before = self.count
        self.count += count
        self._noted += 1
        if self._noted > JOURNALLED:
            return
        if count > 1:
            reason = f"{reason}, {count} times"
        if self._noted == JOURNALLED:
            reason = f"{reason}; {before} refusals before, later ones are only counted"
        self._note(who, reason)

    def turn_away(self, connection: bytes) -> None:
        """Read nothing more of this connection."""
        self._turned_away[connection] = None
        if len(self._turned_away) > TURNED_AWAY_MAX:
            del self._turned_away[next(iter(self._turned_away))]

    def ignores(self, connection: bytes) -> bool:
        """Whether a frame of this connection is not read; it is counted then."""
        if connection not in self._turned_away:
            return False
        self.count += 1
        return True

    def close(self, who: str) -> None:
        """Say how many there were, if not all were noted."""
        if self.count > self._noted or self._noted > JOURNALLED:
            self._note(who, f"{self.count} refusals in all")
