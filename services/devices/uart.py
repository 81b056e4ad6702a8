"""The node `uart`: Xen's console in a power domain that suspend may switch off.

Reset leaves it disabled, and what a disabled port is given is lost.
"""

from proto.board import Board
from proto.devices import PL011, SCIF
from proto.ids import NodeId
from proto.platform import UART_BASE, UART_SPI, ConsoleDriver, retention
from services.devices.pl011 import Pl011
from services.devices.port import Port, byte_ns
from services.devices.scif import Scif
from services.devices.transmitter import Transmitter


def uart(board: Board) -> Port:
    """The port that the board's console driver is for."""
    kept = retention(board.scenario.power_model, "uart")
    kind, depth = (
        (Scif, SCIF.FIFO_SIZE)
        if board.platform.console is ConsoleDriver.SCIF
        else (Pl011, PL011.FIFO_SIZE)
    )
    output = Transmitter(depth, byte_ns(board.platform))
    return kind(NodeId("uart"), UART_BASE, UART_SPI, kept, output)
