"""Effects, envelopes and turns: what one handler call of a node is, as one frame.

A turn is the input a node answered, its board time and all its effects, also when there are none.
The hub numbers and journals turns; a journal is nothing but them.
"""

import msgspec

from proto.ids import Incarnation, NodeId
from proto.messages import VERSION, Body
from proto.traces import TraceBody


class Send(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="s"):
    """Send a body to a node."""

    dst: NodeId
    body: Body


class SetTimer(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="t"):
    """Call `on_timer(timer)` at a board time inside [earliest_ns, latest_ns].

    Setting a timer of the same name replaces it.
    """

    timer: str
    earliest_ns: int
    latest_ns: int


class CancelTimer(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="c"):
    """Forget a timer; one that is not set is left alone."""

    timer: str


class Trace(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="x"):
    """Put a state trace into the journal."""

    event: TraceBody


Effect = Send | SetTimer | CancelTimer | Trace


class MessageId(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True):
    """Identity of a message: who sent it, in which life, the how manieth, from 0."""

    src: NodeId
    incarnation: Incarnation
    seq: int


class Start(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="start"):
    """The input of a node's first turn."""


class Received(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="msg"):
    """A turn's input was this message; its body stands in the sender's turn."""

    message: MessageId


class Fired(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="timer"):
    """A turn's input was this timer of the node itself."""

    timer: str


Input = Start | Received | Fired


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A body on its way, with where it comes from and what caused it."""

    id: MessageId
    dst: NodeId
    cause: MessageId | None
    body: Body
    version: int = VERSION


class Turn(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="turn"):
    """One handler call of one node.

    `number` counts the turns of this incarnation from 0. The sends among the effects are numbered
    from `first_seq` in their order, so a message's identity needs no bytes of its own.
    """

    node: NodeId
    incarnation: Incarnation
    number: int
    input: Input
    now: int
    first_seq: int
    effects: tuple[Effect, ...]
    version: int = VERSION
