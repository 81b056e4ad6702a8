"""Who waits for whom when a board has stopped: read from the whole journal, afterwards.

A processor has one transaction outstanding. It waits for the node that has to answer it; in WFE it
waits for a cell to change, so for whoever wrote the cell last. A processor without either sleeps in
WFI, or lets a time pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from proto.ids import NodeId, pe_node
from proto.messages import (
    Abort,
    Atomic,
    BareAccess,
    BareCall,
    BareMask,
    BareTimer,
    CompareAndSwap,
    FifoData,
    PointReached,
    PointRelease,
    Rail,
    Replies,
    Reply,
    Smc,
    SmcReturn,
    Store,
    StoreBurst,
    VcpuExit,
    VcpuRun,
    VcpuState,
    Watch,
    WatchCancel,
)
from proto.platform import Platform
from proto.psci import function_name
from proto.traces import PeHalted
from proto.turn import CancelTimer, Fired, MessageId, Received, Send, SetTimer, Trace, Turn
from proto.units import MS
from services.monitor.evidence import HubNote

ANSWERS = (
    Reply,
    Replies,
    Abort,
    FifoData,
    PointRelease,
    SmcReturn,
    VcpuState,
    BareCall,
    BareAccess,
    BareMask,
    BareTimer,
)
"""What ends a transaction; an order ends the wait of a bare PE."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """What a node was doing when the journal ended.

    `on` is the node that it waits for, empty if it waits for none. `address` is the cell of a WFE,
    `cell` its name if somebody knows it. `since_ns` and `position` say where the wait began.
    """

    node: str
    what: str
    on: str = ""
    address: int = -1
    cell: str = ""
    since_ns: int = 0
    position: int = -1

    @property
    def text(self) -> str:
        """One line for people."""
        what, address = self.what, f"{self.address:#x}"
        if self.cell:
            what = what.replace(address, f"{address} <{self.cell}>")
        who = f", waiting for {self.on}" if self.on else ""
        since = f" (since {self.since_ns / MS:.3f} ms, record {self.position})"
        return f"{self.node} {what}{who}{since if self.position >= 0 else ''}"


@dataclass(frozen=True, slots=True)
class _Open:
    """A transaction that has not been answered."""

    position: int
    now: int
    dst: NodeId
    body: Any


@dataclass(slots=True)
class _Processor:
    """What a node has under way."""

    power: bool = False
    halted: str = ""
    open: dict[int, _Open] = field(default_factory=dict)
    """By transaction number, oldest first."""
    guest: _Open | None = None
    """The entry of a guest that has not come back."""
    timers: dict[str, int] = field(default_factory=dict)
    """Names of timers that are set, and when they are due."""

    def forget(self) -> None:
        """Power is cut."""
        self.open.clear()
        self.guest = None


class _Board:
    """Everything under way, rebuilt turn by turn."""

    def __init__(self) -> None:
        self.processors: dict[NodeId, _Processor] = {}
        self.writers: dict[int, NodeId] = {}
        """Who wrote a cell last."""
        self._bodies: dict[MessageId, Any] = {}

    def of(self, node: NodeId) -> _Processor:
        """A node's book."""
        return self.processors.setdefault(node, _Processor())

    def turn(self, position: int, turn: Turn) -> None:
        """What a turn answers, then what it does."""
        book = self.of(turn.node)
        received: Any = None
        if isinstance(turn.input, Received):
            received = self._bodies.pop(turn.input.message, None)
            self._receive(turn.input.message.src, turn.node, book, received)
        elif isinstance(turn.input, Fired):
            book.timers.pop(turn.input.timer, None)
        seq = turn.first_seq
        for effect in turn.effects:
            if isinstance(effect, Send):
                self._bodies[MessageId(turn.node, turn.incarnation, seq)] = effect.body
                seq += 1
                self._send(position, turn.now, book, effect, received)
            elif isinstance(effect, SetTimer):
                book.timers[effect.timer] = effect.latest_ns
            elif isinstance(effect, CancelTimer):
                book.timers.pop(effect.timer, None)
            elif isinstance(effect, Trace) and isinstance(effect.event, PeHalted):
                book.halted = effect.event.message

    def _receive(self, src: NodeId, node: NodeId, book: _Processor, body: Any) -> None:
        if isinstance(body, ANSWERS):
            book.open.pop(body.tx, None)
        elif isinstance(body, VcpuExit):
            book.guest = None
        elif isinstance(body, Rail):
            book.power, book.halted = body.on, ""
            book.forget()
        elif isinstance(body, Store | Atomic):
            self.writers[body.address] = src
        elif isinstance(body, StoreBurst):
            self.writers.update(dict.fromkeys(body.addresses, src))

    def _send(self, position: int, now: int, book: _Processor, send: Send, received: Any) -> None:
        body = send.body
        if isinstance(body, ANSWERS):
            if (
                isinstance(received, CompareAndSwap)
                and isinstance(body, Reply)
                and body.value == received.expected
            ):
                self.writers[received.address] = send.dst
        elif isinstance(body, WatchCancel):
            book.open.pop(body.tx, None)
        elif isinstance(body, VcpuRun):
            book.guest = _Open(position, now, send.dst, body)
        elif tx := getattr(body, "tx", 0):
            book.open[tx] = _Open(position, now, send.dst, body)


def who_waits(platform: Platform, records: Sequence[Turn | HubNote]) -> tuple[Wait, ...]:
    """What each PE, EL3 context and waiting domain was doing when the journal ended."""
    board = _Board()
    for position, record in enumerate(records):
        if isinstance(record, Turn):
            board.turn(position, record)
    waits = [_processor(board, pe_node(cpu)) for cpu in platform.cpus]
    for node in sorted(board.processors):
        book = board.processors[node]
        if node.startswith(("el3.", "dom")) and book.open:
            waits.append(_open(board, node, next(reversed(book.open.values()))))
    return tuple(waits)


def _processor(board: _Board, node: NodeId) -> Wait:
    book = board.of(node)
    if not book.power:
        return Wait(node=node, what="has no power")
    if book.halted:
        return Wait(node=node, what=f"has halted: {book.halted}")
    if book.open:
        return _open(board, node, next(reversed(book.open.values())))
    if book.guest is not None:
        guest = book.guest
        what = f"runs a guest: {guest.dst} vCPU {guest.body.vcpu}"
        return Wait(node=node, what=what, since_ns=guest.now, position=guest.position)
    due = [at for name, at in book.timers.items() if name.startswith("delay.")]
    if due:
        return Wait(node=node, what=f"lets time pass until {max(due) / MS:.3f} ms")
    return Wait(node=node, what="is idle in WFI")


def _open(board: _Board, node: NodeId, waiting: _Open) -> Wait:
    body = waiting.body
    if isinstance(body, Watch):
        writer = board.writers.get(body.address, "")
        return Wait(
            node=node,
            what=f"is in WFE until cell {body.address:#x} is not {body.seen:#x}",
            on=writer,
            address=body.address,
            since_ns=waiting.now,
            position=waiting.position,
        )
    name = type(body).__name__
    detail = ""
    if isinstance(body, Smc):
        detail = f" of {function_name(body.function)}"
    elif isinstance(body, PointReached):
        detail = f" of {body.point}"
    return Wait(
        node=node,
        what=f"has an unanswered {name}{detail}",
        on=waiting.dst,
        since_ns=waiting.now,
        position=waiting.position,
    )


def cycle(waits: Sequence[Wait]) -> tuple[str, ...]:
    """Nodes that wait for each other in a circle, each for the next one; empty if there is none."""
    on = {wait.node: wait.on for wait in waits if wait.on}
    for first in sorted(on):
        seen: list[str] = []
        node = first
        while node in on and node not in seen:
            seen.append(node)
            node = on[node]
        if node in seen:
            return tuple(seen[seen.index(node) :])
    return ()


def named(wait: Wait, cells: Mapping[int, str]) -> Wait:
    """A wait with its cell's name, by physical address."""
    return msgspec.structs.replace(wait, cell=cells.get(wait.address, ""))
