"""What all IOMMUs share: plain registers, and a fault interrupt that is an edge."""

from collections.abc import Mapping
from functools import partial

from proto.board import Board
from proto.ids import NodeId
from proto.messages import RaiseLine
from proto.platform import IOMMU_BASE, IOMMU_SPI, retention
from proto.registers import Word
from proto.traces import InterruptLost
from services.devices.block import Device


class Iommu(Device):
    """Base of the IOMMUs, whose translations are not modelled.

    `resets` gives the reset values of the registers that hold what is written to them. `RaiseLine`
    is a fault: the line pulses once if faults are reported. Otherwise, and without power, nobody
    notices the fault, and its interrupt is reported as lost.
    """

    def __init__(self, board: Board, table: type, resets: Mapping[Word, int]) -> None:
        kept = retention(board.scenario.power_model, "iommu")
        super().__init__(NodeId("iommu"), IOMMU_BASE, table, IOMMU_SPI, kept)
        self._resets = resets
        self.registers = dict(resets)
        for row in resets:
            self.readers[row] = partial(self.registers.__getitem__, row)
            self.writers[row] = partial(self.registers.__setitem__, row)
        self.handlers[RaiseLine] = self._fault

    def reports_faults(self) -> bool:
        """Whether a fault raises the interrupt."""
        return False

    def record_fault(self) -> None:
        """Put a fault into the device's status."""

    def reset(self) -> None:
        """Reset values."""
        self.registers.update(self._resets)

    def has(self, row: Word, bits: int) -> bool:
        """Whether all these bits of a register are set."""
        return self.registers[row] & bits == bits

    def clear_bits(self, row: Word, value: int) -> None:
        """Write a register whose written ones clear."""
        self.registers[row] &= ~value

    def _fault(self, src: NodeId, body: RaiseLine) -> None:
        if self.on:
            self.record_fault()
        if not self.on or not self.reports_faults():
            self.trace(InterruptLost(self.intid, self.id))
            return
        self.drive(True)
        self.drive(False)
