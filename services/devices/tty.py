"""The nodes `tty<d>`: one serial port for each domain, passed through, always on, a wake source."""

from proto.board import Board
from proto.ids import NodeId
from proto.platform import DEVICE_SIZE, TTY_BASE, TTY_SPI
from services.devices.pl011 import SerialPort


class Tty(SerialPort):
    """A domain's serial port. Its transmitter and receiver are always enabled."""

    def __init__(self, board: Board, domain: int) -> None:
        base = TTY_BASE + domain * DEVICE_SIZE
        super().__init__(NodeId(f"tty{domain}"), base, TTY_SPI + domain, None)
