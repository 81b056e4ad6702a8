"""What a schedule has reached: states of pairs of nodes at the moments that matter.

A state is the kind of an event, the power and firmware state of the PE at which it happens, the
same of another PE with the last event there, and whether a wake-up is pending. A schedule that
reaches a new one is worth branching off.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from proto.board import Board
from proto.ids import CpuIndex, NodeId, cpu_of
from proto.traces import (
    AffinityState,
    CpuMissing,
    DomainShutdown,
    GuestStarted,
    InterruptLost,
    LineEvent,
    Online,
    PauseCount,
    PeEntered,
    PePower,
    Phase,
    SmcIssued,
    SystemPower,
    SystemSuspendDecision,
    VpsciCall,
    VpsciResult,
    Watchdog,
)
from services.monitor.evidence import Moment, Table

KINDS: Final[dict[type, Callable[[Any], str]]] = {
    AffinityState: lambda event: f"{event.state} of {event.cpu}",
    CpuMissing: lambda event: "missing",
    DomainShutdown: lambda event: f"domain {event.state}",
    GuestStarted: lambda event: "guest starts",
    InterruptLost: lambda event: f"{event.block} loses",
    LineEvent: lambda event: f"line {event.intid} {event.level}",
    Online: lambda event: f"online {event.online}",
    PauseCount: lambda event: f"pause {bool(event.count)}",
    PeEntered: lambda event: event.symbol,
    PePower: lambda event: f"power {event.on}",
    Phase: lambda event: f"{event.label} {event.edge}",
    SmcIssued: lambda event: f"smc {event.function & 0xFF:#x}",
    SystemPower: lambda event: event.state,
    SystemSuspendDecision: lambda event: event.result,
    VpsciCall: lambda event: f"vpsci {event.function & 0xFF:#x}",
    VpsciResult: lambda event: f"vpsci returns {event.code}",
    Watchdog: lambda event: f"watchdog {event.event}",
}
"""Traces that are events, with what tells one from another of its class."""


class Coverage:
    """Observes one schedule; `choices` says how many choices have been made so far.

    `marks` are the states reached with the number of choices before each, every state once.
    """

    def __init__(self, board: Board, choices: Callable[[], int]) -> None:
        self.marks: dict[int, int] = {}
        self._choices = choices
        self._cpus = board.platform.cpus
        self._wake_sources = frozenset(board.platform.wake_sources)
        self._power = dict.fromkeys(self._cpus, False)
        self._firmware = dict.fromkeys(self._cpus, "OFF")
        self._last = dict.fromkeys(self._cpus, "")
        self._pending: set[int] = set()

    @property
    def traced(self) -> Table:
        """Everything that is an event."""
        return dict.fromkeys(KINDS, self._on_event)

    @property
    def received(self) -> Table:
        """Nothing."""
        return {}

    @property
    def sent(self) -> Table:
        """Nothing."""
        return {}

    def _on_event(self, moment: Moment, event: object) -> None:
        kind = KINDS[type(event)](event)
        self._follow(moment.node, event)
        cpu = _cpu(moment.node)
        here = (self._power[cpu], self._firmware[cpu]) if cpu in self._power else moment.node
        woken = bool(self._pending)
        for other in self._cpus:
            if other != cpu:
                there = (self._power[other], self._firmware[other], self._last[other])
                self._mark(f"{kind}|{here}|{there}|{woken}")
        if cpu in self._last:
            self._last[cpu] = kind

    def _follow(self, node: NodeId, event: object) -> None:
        if isinstance(event, PePower):
            self._power[cpu_of(node)] = event.on
        elif isinstance(event, AffinityState):
            self._firmware[CpuIndex(event.cpu)] = event.state
        elif isinstance(event, LineEvent) and event.intid in self._wake_sources:
            (self._pending.add if event.level else self._pending.discard)(event.intid)

    def _mark(self, state: str) -> None:
        number = int.from_bytes(hashlib.blake2b(state.encode(), digest_size=8).digest(), "big")
        self.marks.setdefault(number, self._choices())


def _cpu(node: NodeId) -> CpuIndex:
    """The PE that a node belongs to; -1 for blocks that belong to none."""
    return cpu_of(node) if node.startswith(("pe", "el3.")) else CpuIndex(-1)
