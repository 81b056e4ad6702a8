"""What travels between a process and the hub: a hello, then turns one way and envelopes the other.

Every frame is one MessagePack array that begins with its kind. A turn is the very bytes that the
journal keeps.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from proto.codec import Undecodable
from proto.ids import Incarnation, NodeId
from proto.messages import VERSION
from proto.turn import Envelope, Turn


class Unreachable(Exception):
    """The process that a frame is for has no connection any more."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """A process introduces itself; `token` proves that it belongs to this run.

    A client's process is called `client`, and the hub gives it its node. `pulse` names the
    connection on which the process's pulse can be felt; a client has none.
    """

    process: str
    nodes: tuple[NodeId, ...]
    incarnation: Incarnation
    composition: str
    token: str
    pid: int
    version: int = VERSION
    pulse: bytes = b""


class Crash(msgspec.Struct, frozen=True, array_like=True, tag="crash"):
    """A node has raised an exception; its process ends."""

    node: NodeId
    reason: str


class Go(msgspec.Struct, frozen=True, array_like=True, tag="go"):
    """All processes are there: board time 0 was at `epoch_ns` of CLOCK_MONOTONIC."""

    epoch_ns: int
    time_scale: float


class Bye(msgspec.Struct, frozen=True, array_like=True, tag="bye"):
    """A client leaves, or a process that nobody supervises has been told to end."""


class Ping(msgspec.Struct, frozen=True, array_like=True, tag="ping"):
    """The hub asks whether a process's main loop turns; `number` counts from 1."""

    number: int


class Pong(msgspec.Struct, frozen=True, array_like=True, tag="pong"):
    """The answer to a `Ping`."""

    number: int


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """A client is taken in as this node, with what `Go` told the processes."""

    node: NodeId
    epoch_ns: int
    time_scale: float


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The hub does not take this process in, or drops a client, and why."""

    reason: str


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """The run is over; told to clients and to processes that no supervisor ends."""

    reason: str


class Deliver(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="deliver"):
    """Envelopes for nodes of this process, in hub order."""

    envelopes: list[Envelope]


FromHost = Turn | Hello | Crash | Bye | Pong
ToHost = Go | Refused | Deliver | Welcome | Ended | Ping

_decode_from_host: Callable[[bytes], Any] = msgspec.msgpack.Decoder(FromHost).decode
_decode_to_host: Callable[[bytes], Any] = msgspec.msgpack.Decoder(ToHost).decode


def decode_from_host(data: bytes) -> FromHost:
    """A frame sent to the hub; raises `Undecodable`."""
    try:
        frame: FromHost = _decode_from_host(data)
    except msgspec.MsgspecError as error:
        raise Undecodable(f"not a frame for the hub: {error}") from error
    return frame


def decode_to_host(data: bytes) -> ToHost:
    """A frame sent by the hub; raises `Undecodable`."""
    try:
        frame: ToHost = _decode_to_host(data)
    except msgspec.MsgspecError as error:
        raise Undecodable(f"not a frame for a host: {error}") from error
    return frame
