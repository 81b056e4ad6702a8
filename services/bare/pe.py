"""One processing element without Xen: registers, comparators, SMC, orders of the driver.

Everything in here is lost when the PE's power is cut.
"""

import types
from collections.abc import Generator
from typing import Any

from proto import timer
from proto.board import Board
from proto.gic import PPI_HYP_TIMER, PPI_PHYS_TIMER, PPI_VIRT_TIMER
from proto.ids import GICD_NODE, OPERATOR, CpuIndex, el3_node, pe_node
from proto.image import Image
from proto.machine import Processor, Thread
from proto.messages import BareHalted, BareReady, Smc, Wire
from proto.traces import PeHalted, SmcIssued
from proto.turn import CancelTimer, Send, SetTimer
from proto.vectors import shared_interrupts

REGISTERS = 31
"""x0 to x30."""
RESULTS = 4
"""Registers in which a call has results: x0 to x3 (DEN 0028, Return values)."""
POISON = 0xDEAD_BEEF_0000_0000
"""What registers hold that nobody has set: the register's number is added."""
COMPARATORS = {PPI_HYP_TIMER: "cnthp", PPI_VIRT_TIMER: "cntv", PPI_PHYS_TIMER: "cntp"}
"""PPI to the comparator that drives it."""

Order = Any
"""One of BareCall, BareAccess, BareMask, BareTimer."""


class BarePe(Processor):
    """A powered PE that runs the bare program; it has no MMU and starts with IRQs masked."""

    def __init__(
        self, board: Board, cpu: CpuIndex, image: Image, first_tx: int, irq_line: bool
    ) -> None:
        super().__init__(
            pe_node(cpu), image, board.memory_map, board.platform.bus_timeout_ns, first_tx
        )
        self.cpu = cpu
        self.platform = board.platform
        self.routes = {} if board.vectors is None else shared_interrupts(board.vectors)
        self.irq_line = irq_line
        self.registers = [POISON + number for number in range(REGISTERS)]
        self._ready_tx = 0
        self._lines = dict.fromkeys(COMPARATORS, False)
        self._compare: dict[int, tuple[int, int]] = {}
        """PPI to CTL and CVAL of its comparator."""

    # -- awaited by programs

    @types.coroutine
    def order(self, values: tuple[int, ...], abort: str = "") -> Generator[int, Any, Order]:
        """Report what came of the last order and wait for the next; IRQs may be taken inside."""
        tx = self._ready_tx = self._next_tx()
        self.emit(Send(OPERATOR, BareReady(tx, values, abort)))
        self._frames[-1].open = True
        return (yield tx)

    def ordered(self, order: Order) -> None:
        """The driver has answered."""
        assert order.tx == self._ready_tx, "an order that nobody waits for"
        self.complete(order.tx, order)

    @types.coroutine
    def smc(self, secure: bool, aarch32: bool) -> Generator[int, Any, None]:
        """SMC #0 with the registers as they are; does not come back if the PE loses its power."""
        tx = self._next_tx()
        function, x1, x2, x3 = self.registers[:RESULTS]
        self.trace(SmcIssued(function, (x1, x2, x3), self.irq_masked))
        self.emit(Send(el3_node(self.cpu), Smc(tx, function, (x1, x2, x3), secure, aarch32)))
        results = yield tx
        self.registers[:RESULTS] = results

    # -- comparators

    def set_comparator(self, ppi: int, ctl: int, cval: int) -> None:
        """Write CVAL, then CTL of the comparator that drives a PPI."""
        self._compare[ppi] = (ctl, cval)
        edge = timer.next_edge_ns(ctl, cval, self.now)
        name = COMPARATORS[ppi]
        self.emit(CancelTimer(name) if edge is None else SetTimer(name, edge, edge))
        self._drive(ppi)

    def timer_fired(self, timer_name: str) -> bool:
        """A comparator has been reached, or one of the processor's own timers."""
        for ppi, name in COMPARATORS.items():
            if timer_name == name:
                self._drive(ppi)
                return True
        return super().timer_fired(timer_name)

    def power_lost(self) -> None:
        """Power is cut: the stack is gone, comparators stop, the lines that they drive fall."""
        self.discard()
        for ppi in self._compare:
            self.set_comparator(ppi, 0, 0)

    def _drive(self, ppi: int) -> None:
        level = timer.line(*self._compare[ppi], self.now)
        if level != self._lines[ppi]:
            self._lines[ppi] = level
            self.emit(Send(GICD_NODE, Wire(ppi, level, self.cpu)))

    # -- exceptions

    def irq_vector(self) -> Thread:
        """IRQ taken from the bare program."""
        return self.links["bare_irq"](self)

    def on_halt(self, message: str) -> None:
        """The program has taken an abort that it did not expect."""
        self.trace(PeHalted(message))
        self.emit(Send(OPERATOR, BareHalted(message)))
