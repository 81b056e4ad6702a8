"""Whether the host kept a live board waiting: what was due and delivered late, summed up.

A message is due when it is sent and a timer when its window ends; a healthy host delivers within a
few milliseconds. A deadline that was missed while the host starved the board proves nothing.
"""

from proto.ids import NodeId
from proto.turn import CancelTimer, Fired, Received, Send, SetTimer, Turn
from proto.units import MS

GRACE_NS = 5 * MS
"""Board time by which any delivery may be late without being counted."""

STARVED_NS = 500 * MS
"""Sum of what is beyond the grace from which on a board counts as starved."""


class Starvation:
    """Adds up by how much the deliveries of a live journal were late."""

    def __init__(self) -> None:
        self.late_ns = 0
        self._sent_at: dict[tuple[NodeId, int], int] = {}
        self._due_at: dict[tuple[NodeId, str], int] = {}

    def turn(self, turn: Turn) -> None:
        """Look at a turn: its input may be late, its effects are due later."""
        due: int | None = None
        if isinstance(turn.input, Received):
            due = self._sent_at.pop((turn.input.message.src, turn.input.message.seq), None)
        elif isinstance(turn.input, Fired):
            due = self._due_at.pop((turn.node, turn.input.timer), None)
        if due is not None:
            self.late_ns += max(0, turn.now - due - GRACE_NS)
        seq = turn.first_seq
        for effect in turn.effects:
            if isinstance(effect, Send):
                self._sent_at[turn.node, seq] = turn.now
                seq += 1
            elif isinstance(effect, SetTimer):
                self._due_at[turn.node, effect.timer] = effect.latest_ns
            elif isinstance(effect, CancelTimer):
                self._due_at.pop((turn.node, effect.timer), None)

    @property
    def text(self) -> str:
        """One line for people if the board was starved, else nothing."""
        if self.late_ns < STARVED_NS:
            return ""
        return f"the host starved the board: deliveries were late by {self.late_ns // MS} ms in all"
