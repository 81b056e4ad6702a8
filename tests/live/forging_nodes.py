"""A board whose domain 2 has been taken over: its process speaks with its own keys, and forges."""

from collections.abc import Sequence

from deploy.composition import build_node as build_honest_node
from proto.board import Board
from proto.ids import GICD_NODE, SCP, BoardNs, NodeId, domain_node, el3_node, pe_node
from proto.messages import PowerOn, Rail, Smc, WakeLine, Wire
from proto.node import Node
from proto.platform import RTC_SPI
from proto.psci import Psci
from proto.turn import Effect, Envelope, Send

FORGER = domain_node(2)
FORGED = (
    Send(el3_node(0), Smc(1, Psci.CPU_ON, (3, 0x4000_0000, 0))),
    Send(SCP, PowerOn(1, 3)),
    Send(SCP, WakeLine(RTC_SPI, True)),
    Send(GICD_NODE, Wire(RTC_SPI, True)),
    Send(pe_node(0), Rail(False)),
)
"""CPU_ON, power, a wake-up, an interrupt and a rail."""


def build_node(board: Board, node: NodeId) -> Node:
    """The board's own nodes, but for one."""
    honest = build_honest_node(board, node)
    return Forger(honest) if node == FORGER else honest


class Forger:
    """Does what the domain does, and forges besides, at every message."""

    def __init__(self, honest: Node) -> None:
        self.id = honest.id
        self._honest = honest

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return self._honest.on_start(now)

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        return [*FORGED, *self._honest.on_message(now, envelope)]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        return self._honest.on_timer(now, timer)
