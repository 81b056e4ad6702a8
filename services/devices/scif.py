"""The SCIF of R-Car boards, with the deep FIFOs of its high-speed kind.

Source: Renesas R-Car Gen3 user's manual, HSCIF, Register descriptions. Line settings are kept and
have no effect.
"""

from functools import partial

from proto.devices import SCIF
from proto.ids import NodeId
from proto.platform import Retention
from proto.registers import Word
from services.devices.port import Port
from services.devices.transmitter import Transmitter

ERRORS = SCIF.SCFSR_BRK | SCIF.SCFSR_ER
RESETS = {SCIF.SCSMR: 0, SCIF.SCBRR: 0xFF, SCIF.SCSCR: 0, SCIF.SCFCR: 0, SCIF.SCLSR: 0}
"""Reset values of the registers that hold what is written to them."""


class Scif(Port):
    """A SCIF. A break needs an enabled receiver, and interrupts by SCSCR.RIE or REIE."""

    def __init__(
        self,
        node: NodeId,
        base: int,
        intid: int,
        retention: Retention | None,
        transmitter: Transmitter,
    ) -> None:
        super().__init__(node, base, SCIF, intid, retention, transmitter, SCIF.SCFTDR, SCIF.SCFRDR)
        self._registers = dict(RESETS)
        self._errors = 0
        for row in RESETS:
            self.readers[row] = partial(self._registers.__getitem__, row)
            self.writers[row] = partial(self._hold, row)
        self.readers |= {
            SCIF.SCFSR: self._status,
            SCIF.SCFRDR: self.take,
            SCIF.SCFDR: lambda: self.transmitter.level << 8 | len(self.received),
        }
        self.writers |= {
            SCIF.SCFTDR: lambda value: self.send(bytes([value & 0xFF])),
            SCIF.SCFSR: self._write_status,
        }

    def can_transmit(self) -> bool:
        """SCSCR.TE, and the FIFO is not held in reset."""
        held = self._registers[SCIF.SCFCR] & SCIF.SCFCR_TFRST
        return bool(self._registers[SCIF.SCSCR] & SCIF.SCSCR_TE) and not held

    def can_receive(self) -> bool:
        """SCSCR.RE, and the FIFO is not held in reset."""
        held = self._registers[SCIF.SCFCR] & SCIF.SCFCR_RFRST
        return bool(self._registers[SCIF.SCSCR] & SCIF.SCSCR_RE) and not held

    def interrupt(self) -> bool:
        """Any of the three interrupts that SCSCR enables: transmit, receive, error."""
        control, status = self._registers[SCIF.SCSCR], self._status()
        return bool(
            (control & SCIF.SCSCR_TIE and status & SCIF.SCFSR_TDFE)
            or (control & SCIF.SCSCR_RIE and status & (SCIF.SCFSR_RDF | SCIF.SCFSR_DR))
            or (control & (SCIF.SCSCR_RIE | SCIF.SCSCR_REIE) and status & ERRORS)
        )

    def trigger(self) -> int | None:
        """The level of TDFE, while its interrupt is enabled."""
        return self._level() if self._registers[SCIF.SCSCR] & SCIF.SCSCR_TIE else None

    def break_received(self) -> None:
        """Kept in SCFSR until a 0 is written there."""
        if self.can_receive():
            self._errors |= SCIF.SCFSR_BRK

    def reset(self) -> None:
        """Both halves disabled, FIFOs empty."""
        super().reset()
        self._registers.update(RESETS)
        self._errors = 0

    def _level(self) -> int:
        return SCIF.TRIGGER[SCIF.SCFCR_TTRG.get(self._registers[SCIF.SCFCR])]

    def _status(self) -> int:
        status = self._errors
        if self.received:
            status |= SCIF.SCFSR_RDF | SCIF.SCFSR_DR
        if self.transmitter.level <= self._level():
            status |= SCIF.SCFSR_TDFE
        if not self.transmitter.level:
            status |= SCIF.SCFSR_TEND
        return status

    def _hold(self, row: Word, value: int) -> None:
        self._registers[row] = value & 0xFFFF
        if self._registers[SCIF.SCFCR] & SCIF.SCFCR_TFRST:
            self.transmitter.clear()
        if self._registers[SCIF.SCFCR] & SCIF.SCFCR_RFRST:
            self.received.clear()

    def _write_status(self, value: int) -> None:
        self._errors &= value
