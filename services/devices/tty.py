"""The nodes `tty<d>`: one serial port for each domain, passed through, always on, a wake source."""

import sys

from proto.board import Board
from proto.ids import NodeId
from proto.platform import DEVICE_SIZE, TTY_BASE, TTY_SPI
from services.devices.pl011 import Pl011
from services.devices.transmitter import Transmitter


class Tty(Pl011):
    """A domain's serial port: always enabled, and its output leaves at once."""

    def __init__(self, board: Board, domain: int) -> None:
        base = TTY_BASE + domain * DEVICE_SIZE
        output = Transmitter(sys.maxsize, 0)
        super().__init__(NodeId(f"tty{domain}"), base, TTY_SPI + domain, None, output)

    def can_transmit(self) -> bool:
        """Always."""
        return True

    def can_receive(self) -> bool:
        """Always."""
        return True
