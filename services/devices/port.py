"""What all serial ports share: FIFOs, bursts, lines to and from the operator's terminal."""

from collections.abc import Sequence

from proto.ids import OPERATOR, BoardNs, NodeId
from proto.messages import (
    Abort,
    FifoData,
    FifoRead,
    FifoWrite,
    RaiseLine,
    SerialInput,
    SerialOutput,
)
from proto.node import ProtocolError
from proto.platform import Platform, Retention
from proto.registers import Word
from proto.traces import InterruptLost, Unpredictable
from proto.turn import CancelTimer, Effect, Send, SetTimer
from proto.units import S
from services.devices.block import Device
from services.devices.transmitter import Terminal, Transmitter

TIMER = "transmit"
BITS_PER_BYTE = 10
"""Start bit, eight data bits, stop bit."""


def byte_ns(platform: Platform) -> int:
    """How long a byte takes on the line of Xen's console."""
    return BITS_PER_BYTE * S // platform.console_baud


class Port(Device):
    """Base of the serial ports. `transmit` and `receive` are the registers that bursts go to.

    The receive FIFO is as deep as what is typed. A subclass says when its halves are enabled, how
    its interrupt line comes about, and at which level of the transmit FIFO the line may change.
    `RaiseLine` is a break on the line.
    """

    def __init__(
        self,
        node: NodeId,
        base: int,
        table: type,
        intid: int,
        retention: Retention | None,
        transmitter: Transmitter,
        transmit: Word,
        receive: Word,
    ) -> None:
        super().__init__(node, base, table, intid, retention)
        self.transmitter = transmitter
        self.received = bytearray()
        self._terminal = Terminal()
        self._transmit_register = transmit
        self._receive_register = receive
        self._armed_ns: int | None = None
        self.handlers |= {
            FifoWrite: self._fifo_write,
            FifoRead: self._fifo_read,
            SerialInput: self._serial_input,
            RaiseLine: self._raise_line,
        }

    # -- what kinds of ports differ in

    def can_transmit(self) -> bool:
        """Whether output leaves the port; otherwise what it is given is dropped."""
        raise NotImplementedError

    def can_receive(self) -> bool:
        """Whether input enters the port; otherwise it is dropped."""
        raise NotImplementedError

    def interrupt(self) -> bool:
        """Level of the interrupt line."""
        raise NotImplementedError

    def break_received(self) -> None:
        """Note a break on the line."""
        raise NotImplementedError

    def trigger(self) -> int | None:
        """The transmit level that is waited for, or None."""
        raise NotImplementedError

    def drained(self) -> None:
        """The transmit FIFO has run empty."""

    # -- turns

    def begin(self) -> None:
        """Catch up with the bytes that have left meanwhile."""
        before = self.transmitter.level
        self._show()
        if before and not self.transmitter.level:
            self.drained()

    def end(self) -> Sequence[Effect]:
        """The line and the timer follow what the turn has changed."""
        self._show()
        self.drive(self.interrupt())
        self._arm()
        return super().end()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A line has left, or the transmit FIFO has fallen to its trigger level."""
        if timer != TIMER or self._armed_ns is None:
            raise ProtocolError(f"{self.id} set no timer {timer}")
        self.now, self._armed_ns = now, None
        self.begin()
        return self.end()

    def reset(self) -> None:
        """What was received and not read, and what has not left, is gone."""
        self.received.clear()
        self.transmitter.clear()

    def send(self, data: bytes) -> None:
        """Software has written bytes to the transmit register."""
        if self.can_transmit():
            self.transmitter.write(self.now, data)

    def take(self) -> int:
        """Software has read the receive register: the oldest byte, or 0."""
        return self.received.pop(0) if self.received else 0

    def _show(self) -> None:
        running = self.on and self.can_transmit()
        for line in self._terminal.show(self.transmitter.advance(self.now, running)):
            self.emit(Send(OPERATOR, SerialOutput(line)))

    def _arm(self) -> None:
        due = None
        if self.on and self.can_transmit():
            trigger = self.trigger()
            levels = None if trigger is None else self.transmitter.falls_to_ns(trigger)
            moments = (self.transmitter.next_line_ns(), levels)
            due = min((moment for moment in moments if moment is not None), default=None)
        if due == self._armed_ns:
            return
        self._armed_ns = due
        self.emit(CancelTimer(TIMER) if due is None else SetTimer(TIMER, due, due))

    # -- bursts

    def _burst_refusal(self, address: int, register: Word, is_write: bool) -> str:
        if reason := self.refusal(address, 1, is_write):
            return reason
        at_data = self.row_at(address) == register
        return "" if at_data else f"{self.id} has no FIFO at {address:#x}"

    def _fifo_write(self, src: NodeId, body: FifoWrite) -> None:
        # Posted: a port without power swallows it, and so does a port that is disabled.
        reason = self._burst_refusal(body.address, self._transmit_register, is_write=True)
        if not reason:
            self.send(body.data)
        elif self.on:
            what = f"{src}: posted output is lost: {reason}"
            self.trace(Unpredictable(what, "DDI 0487, SError interrupt"))

    def _fifo_read(self, src: NodeId, body: FifoRead) -> None:
        if reason := self._burst_refusal(body.address, self._receive_register, is_write=False):
            self.emit(Send(src, Abort(body.tx, reason)))
            return
        self.emit(Send(src, FifoData(body.tx, bytes(self.received))))
        self.received.clear()

    # -- the operator

    def _serial_input(self, src: NodeId, body: SerialInput) -> None:
        # A port that does not listen loses what is typed, as on any board.
        if self.on and self.can_receive():
            self.received += body.line.encode() + b"\n"

    def _raise_line(self, src: NodeId, body: RaiseLine) -> None:
        if not self.on:
            self.trace(InterruptLost(self.intid, self.id))
        else:
            self.break_received()
