"""The contract of a node: handlers that take `now` and return effects.

A node touches no clock, socket, thread or random generator. A handler finishes before any of its
effects is performed. The same class therefore runs in every world.
"""

from collections.abc import Sequence
from typing import Protocol

from proto.ids import BoardNs, NodeId
from proto.turn import Effect, Envelope


class Node(Protocol):
    """Anything that has a place on the bus."""

    id: NodeId

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Power has been applied to the board; called once per incarnation."""

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A message has arrived."""

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A timer that this node set has fired."""


class ProtocolError(Exception):
    """A node was sent something that its protocol does not allow; stops the run."""
