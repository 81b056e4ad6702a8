"""What is pending in a world: deliveries with the windows of board time in which they may come."""

from typing import NamedTuple

from proto.ids import BoardNs, NodeId
from proto.turn import Envelope

Link = tuple[str, str]
"""Source and destination of a message; a node and the name of its timer."""


class Event(NamedTuple):
    """A pending delivery; sorted by earliest time, then by age."""

    earliest_ns: BoardNs
    order: int
    latest_ns: int
    node: NodeId
    envelope: Envelope | None
    timer: str
    sent_at: int = -1
    """Which of the world's turns sent it, from 0; -1 for a timer."""

    @property
    def link(self) -> Link:
        """What it comes by."""
        envelope = self.envelope
        return (self.node, self.timer) if envelope is None else (envelope.id.src, self.node)
