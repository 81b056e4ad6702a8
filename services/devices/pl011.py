"""The PL011: the domains' serial ports, and Xen's console on some platforms.

Source: DDI 0183 (PrimeCell UART PL011), Register descriptions.
"""

from proto.devices import PL011
from proto.ids import NodeId
from proto.platform import Retention
from services.devices.port import Port
from services.devices.transmitter import Transmitter

INTERRUPTS = PL011.INT_RX | PL011.INT_TX | PL011.INT_BREAK


class Pl011(Port):
    """A PL011. `control` is UARTCR.

    A break drives the interrupt until ICR clears it, whatever IMSC says, because the operator's
    button must work before any driver does.
    """

    def __init__(
        self,
        node: NodeId,
        base: int,
        intid: int,
        retention: Retention | None,
        transmitter: Transmitter,
    ) -> None:
        super().__init__(node, base, PL011, intid, retention, transmitter, PL011.DR, PL011.DR)
        self.control = self._imsc = self._latched = 0
        self.readers = {
            PL011.DR: self.take,
            PL011.FR: self._flags,
            PL011.CR: lambda: self.control,
            PL011.IMSC: lambda: self._imsc,
            PL011.RIS: self._raw,
            PL011.MIS: self._masked,
        }
        self.writers = {
            PL011.DR: lambda value: self.send(bytes([value & 0xFF])),
            PL011.CR: self._write_cr,
            PL011.IMSC: self._write_imsc,
            PL011.ICR: self._write_icr,
        }

    def can_transmit(self) -> bool:
        """Enabled, transmitter too (DDI 0183, UARTCR)."""
        return self._has(PL011.CR_UARTEN | PL011.CR_TXE)

    def can_receive(self) -> bool:
        """Enabled, receiver too (DDI 0183, UARTCR)."""
        return self._has(PL011.CR_UARTEN | PL011.CR_RXE)

    def interrupt(self) -> bool:
        """UARTINTR: any masked interrupt."""
        return bool(self._masked())

    def trigger(self) -> int | None:
        """The transmit interrupt comes when the FIFO is empty."""
        return 0 if self._imsc & PL011.INT_TX else None

    def drained(self) -> None:
        """The transmit interrupt is latched (DDI 0183, UARTTXINTR)."""
        self._latched |= PL011.INT_TX

    def break_received(self) -> None:
        """Latched until ICR."""
        self._latched |= PL011.INT_BREAK

    def send(self, data: bytes) -> None:
        """Writing takes the transmit interrupt back."""
        super().send(data)
        if self.transmitter.level:
            self._latched &= ~PL011.INT_TX

    def reset(self) -> None:
        """Disabled, everything masked, FIFOs empty."""
        super().reset()
        self.control = self._imsc = self._latched = 0

    def _has(self, bits: int) -> bool:
        return self.control & bits == bits

    def _flags(self) -> int:
        flags = 0 if self.received else PL011.FR_RXFE
        flags |= 0 if self.transmitter.level else PL011.FR_TXFE
        return flags | (0 if self.transmitter.room else PL011.FR_TXFF)

    def _raw(self) -> int:
        return (PL011.INT_RX if self.received else 0) | self._latched

    def _masked(self) -> int:
        return self._raw() & (self._imsc | PL011.INT_BREAK)

    def _write_cr(self, value: int) -> None:
        self.control = value

    def _write_imsc(self, value: int) -> None:
        self._imsc = value & INTERRUPTS

    def _write_icr(self, value: int) -> None:
        self._latched &= ~value
