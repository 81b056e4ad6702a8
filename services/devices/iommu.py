"""The node `iommu`: the registers Xen saves and restores, and an edge-triggered fault interrupt."""

from proto.board import Board
from proto.devices import IOMMU
from proto.ids import NodeId
from proto.messages import RaiseLine
from proto.platform import IOMMU_BASE, IOMMU_SPI, retention
from proto.traces import InterruptLost
from services.devices.block import MASK_32, Device


class Iommu(Device):
    """An IOMMU whose translations are not modelled: control, context table base, fault status.

    `RaiseLine` is a fault: the status bit is set and the line pulses once. Without power there is
    nobody to notice a fault, and its interrupt is reported as lost.
    """

    def __init__(self, board: Board) -> None:
        kept = retention(board.scenario.power_model, "iommu")
        super().__init__(NodeId("iommu"), IOMMU_BASE, IOMMU, IOMMU_SPI, kept)
        self._cr = self._cbase = self._fsr = 0
        self.readers = {
            IOMMU.CR: lambda: self._cr,
            IOMMU.CBASE_LO: lambda: self._cbase & MASK_32,
            IOMMU.CBASE_HI: lambda: self._cbase >> 32,
            IOMMU.FSR: lambda: self._fsr,
        }
        self.writers = {
            IOMMU.CR: self._write_cr,
            IOMMU.CBASE_LO: lambda value: self._write_cbase(self._cbase & ~MASK_32 | value),
            IOMMU.CBASE_HI: lambda value: self._write_cbase(self._cbase & MASK_32 | value << 32),
            IOMMU.FSR: self._clear_fsr,
        }
        self.handlers[RaiseLine] = self._fault

    def reset(self) -> None:
        """Translation off, no table, no fault."""
        self._cr = self._cbase = self._fsr = 0

    def _write_cr(self, value: int) -> None:
        self._cr = value & IOMMU.CR_ENABLE

    def _write_cbase(self, cbase: int) -> None:
        self._cbase = cbase

    def _clear_fsr(self, value: int) -> None:
        self._fsr &= ~value

    def _fault(self, src: NodeId, body: RaiseLine) -> None:
        if not self.on:
            self.trace(InterruptLost(self.intid, self.id))
            return
        self._fsr |= IOMMU.FSR_FAULT
        self.drive(True)
        self.drive(False)
