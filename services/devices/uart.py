"""The node `uart`: Xen's console, a PL011 in a power domain that suspend may switch off."""

from proto.board import Board
from proto.devices import PL011
from proto.ids import NodeId
from proto.platform import UART_BASE, UART_SPI, retention
from services.devices.pl011 import SerialPort


class Uart(SerialPort):
    """Xen's serial port. Reset leaves it disabled, and what a disabled port is given is lost."""

    def __init__(self, board: Board) -> None:
        kept = retention(board.scenario.power_model, "uart")
        super().__init__(NodeId("uart"), UART_BASE, UART_SPI, kept)

    def can_transmit(self) -> bool:
        """Enabled, transmitter too (DDI 0183, UARTCR)."""
        return self._has(PL011.CR_UARTEN | PL011.CR_TXE)

    def can_receive(self) -> bool:
        """Enabled, receiver too (DDI 0183, UARTCR)."""
        return self._has(PL011.CR_UARTEN | PL011.CR_RXE)

    def _has(self, bits: int) -> bool:
        return self.control & bits == bits
