"""Signs of life of the processes, told apart: well, slow, paused, cut off or dead.

Two signs are looked at once a beat. The *answer* comes from a process's main loop. The *pulse*
comes from the messaging library's own thread in that process: it stops when the process does not
run at all, and goes on while its main loop is merely busy. Whether the connection stands is told by
the operating system. Beats are real time; there are none in virtual time.
"""

from dataclasses import dataclass
from enum import Enum

BEAT_S = 1.0
"""Time between two looks."""

SLOW_BEATS = 3
"""An answer that takes longer makes a process slow."""

SILENCE_BEATS = 30
"""A process that gives no answer for longer has failed the board."""

CUT_BEATS = 3
"""Beats by which a pulse stops before its connection is lost if it is the network that is cut."""


class Sign(Enum):
    """How a process is doing; the value is what the journal calls the change to it."""

    WELL = "peer_back"
    SLOW = "peer_slow"
    PAUSED = "peer_paused"


TEXTS = {
    Sign.WELL: "it answers again",
    Sign.SLOW: f"it runs, and has not answered for {SLOW_BEATS} s",
    Sign.PAUSED: "its connection stands, and it does not run",
}
"""What a change of sign means, for the journal."""


@dataclass(slots=True)
class Vitals:
    """What is known of one process."""

    sign: Sign = Sign.WELL
    asked: int = 0
    """Number of the last question."""
    answered: int = 0
    """Number of the last question that was answered."""
    without_pulse: int = 0
    """Beats since the pulse was last felt."""

    @property
    def owed(self) -> int:
        """Beats since the oldest question without an answer."""
        return self.asked - self.answered

    def beat(self, pulse: bool) -> Sign | None:
        """One beat has passed, with or without a pulse; the new sign, or None if it is the old."""
        self.without_pulse = 0 if pulse else self.without_pulse + 1
        if not pulse:
            sign = Sign.PAUSED
        elif self.owed > SLOW_BEATS:
            sign = Sign.SLOW
        else:
            sign = Sign.WELL
        self.asked += 1
        if sign is self.sign:
            return None
        self.sign = sign
        return sign

    @property
    def failed(self) -> str:
        """Why the board cannot go on without this process's answers; empty if it can."""
        if max(self.owed, self.without_pulse) <= SILENCE_BEATS:
            return ""
        state = "paused" if self.sign is Sign.PAUSED else "stuck"
        return f"it has been {state} for {SILENCE_BEATS} s"

    @property
    def loss(self) -> str:
        """What it means that its connection is lost."""
        if self.without_pulse >= CUT_BEATS:
            return "the network to it is cut"
        return "the process is gone"
