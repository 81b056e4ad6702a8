"""A run as a test looks at it: traces and messages by class and node, in the order of the turns."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from proto.messages import Body
from proto.traces import TraceBody
from proto.turn import Send, Trace, Turn

E = TypeVar("E", bound=TraceBody)
B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True)
class Traced(Generic[E]):
    """A trace with its node and its board time in nanoseconds."""

    now: int
    node: str
    event: E


@dataclass(frozen=True, slots=True)
class Sent(Generic[B]):
    """A message with its ends and the board time in nanoseconds at which it was sent."""

    now: int
    src: str
    dst: str
    body: B


class Seen:
    """The turns of one run."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        self.turns = tuple(turns)

    def turns_of(self, node: str, after_ns: int = 0) -> list[Turn]:
        """Turns of a node, from a board time on."""
        return [turn for turn in self.turns if turn.node == node and turn.now >= after_ns]

    def traces(self, kind: type[E], node: str | None = None) -> list[Traced[E]]:
        """Traces of a class, of one node or of all."""
        return [
            Traced(turn.now, turn.node, effect.event)
            for turn in self.turns
            if node is None or turn.node == node
            for effect in turn.effects
            if isinstance(effect, Trace) and isinstance(effect.event, kind)
        ]

    def messages(
        self, kind: type[B], src: str | None = None, dst: str | None = None
    ) -> list[Sent[B]]:
        """Messages of a class, from one node or all, to one node or all."""
        return [
            Sent(turn.now, turn.node, effect.dst, effect.body)
            for turn in self.turns
            if src is None or turn.node == src
            for effect in turn.effects
            if isinstance(effect, Send)
            and isinstance(effect.body, kind)
            and (dst is None or effect.dst == dst)
        ]
