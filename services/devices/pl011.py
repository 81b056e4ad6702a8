"""The core of both kinds of serial port: FIFOs, interrupt bits, lines to and from a terminal.

Source: DDI 0183 (PrimeCell UART PL011), Register descriptions. The receive FIFO is as deep as what
is typed; output leaves at once, so the transmit FIFO is always empty.
"""

from proto.devices import PL011
from proto.ids import OPERATOR, NodeId
from proto.messages import (
    Abort,
    FifoData,
    FifoRead,
    FifoWrite,
    RaiseLine,
    SerialInput,
    SerialOutput,
)
from proto.platform import Retention
from proto.traces import InterruptLost, Unpredictable
from proto.turn import Send
from services.devices.block import Device

INTERRUPTS = PL011.INT_RX | PL011.INT_BREAK


class SerialPort(Device):
    """A PL011 with the operator's terminal at its other end. `control` is UARTCR.

    `RaiseLine` is a break on the line: it drives the interrupt until ICR clears it, whatever IMSC
    says, because the operator's button must work before any driver does.
    """

    def __init__(self, node: NodeId, base: int, intid: int, retention: Retention | None) -> None:
        super().__init__(node, base, PL011, intid, retention)
        self.control = self._imsc = self._raw_break = 0
        self._received = bytearray()
        # What has left the port is the terminal's: it survives the port's loss of power.
        self._line_so_far = bytearray()
        self.readers = {
            PL011.DR: self._read_data,
            PL011.FR: lambda: PL011.FR_TXFE | (0 if self._received else PL011.FR_RXFE),
            PL011.CR: lambda: self.control,
            PL011.IMSC: lambda: self._imsc,
            PL011.RIS: self._raw,
            PL011.MIS: self._masked,
        }
        self.writers = {
            PL011.DR: lambda value: self._transmit(bytes([value & 0xFF])),
            PL011.CR: self._write_cr,
            PL011.IMSC: self._write_imsc,
            PL011.ICR: self._write_icr,
        }
        self.handlers |= {
            FifoWrite: self._fifo_write,
            FifoRead: self._fifo_read,
            SerialInput: self._serial_input,
            RaiseLine: self._raise_line,
        }

    def can_transmit(self) -> bool:
        """Whether output leaves the port; otherwise it is dropped."""
        return True

    def can_receive(self) -> bool:
        """Whether input enters the port; otherwise it is dropped."""
        return True

    def reset(self) -> None:
        """Reset values; what was received and not read is gone."""
        self.control = self._imsc = self._raw_break = 0
        self._received.clear()
        self._update_line()

    # -- registers

    def _raw(self) -> int:
        return (PL011.INT_RX if self._received else 0) | self._raw_break

    def _masked(self) -> int:
        return self._raw() & (self._imsc | PL011.INT_BREAK)

    def _update_line(self) -> None:
        self.drive(bool(self._masked()))

    def _read_data(self) -> int:
        value = self._received.pop(0) if self._received else 0
        self._update_line()
        return value

    def _write_cr(self, value: int) -> None:
        self.control = value

    def _write_imsc(self, value: int) -> None:
        self._imsc = value & INTERRUPTS
        self._update_line()

    def _write_icr(self, value: int) -> None:
        self._raw_break &= ~value
        self._update_line()

    # -- bursts

    def _data_refusal(self, address: int, is_write: bool) -> str:
        if reason := self.refusal(address, 1, is_write):
            return reason
        at_data = self.row_at(address) == PL011.DR
        return "" if at_data else f"{self.id} has no FIFO at {address:#x}"

    def _fifo_write(self, src: NodeId, body: FifoWrite) -> None:
        # Posted: a port without power swallows it, and so does a port that is disabled.
        reason = self._data_refusal(body.address, is_write=True)
        if not reason:
            self._transmit(body.data)
        elif self.on:
            what = f"{src}: posted output is lost: {reason}"
            self.trace(Unpredictable(what, "DDI 0487, SError interrupt"))

    def _fifo_read(self, src: NodeId, body: FifoRead) -> None:
        if reason := self._data_refusal(body.address, is_write=False):
            self.emit(Send(src, Abort(body.tx, reason)))
            return
        self.emit(Send(src, FifoData(body.tx, bytes(self._received))))
        self._received.clear()
        self._update_line()

    def _transmit(self, data: bytes) -> None:
        if not self.can_transmit():
            return
        *lines, rest = (self._line_so_far + data).split(b"\n")
        self._line_so_far = bytearray(rest)
        for line in lines:
            text = line.rstrip(b"\r").decode(errors="replace")
            self.emit(Send(OPERATOR, SerialOutput(text)))

    # -- the operator

    def _serial_input(self, src: NodeId, body: SerialInput) -> None:
        # A port that does not listen loses what is typed, as on any board.
        if self.on and self.can_receive():
            self._received += body.line.encode() + b"\n"
            self._update_line()

    def _raise_line(self, src: NodeId, body: RaiseLine) -> None:
        if not self.on:
            self.trace(InterruptLost(self.intid, self.id))
        else:
            self._raw_break |= PL011.INT_BREAK
            self._update_line()
