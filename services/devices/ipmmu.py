"""The IPMMU-VMSA of R-Car boards.

Source: Renesas R-Car Gen3 user's manual, IPMMU; Linux, drivers/iommu/ipmmu-vmsa.c.
"""

from functools import partial

from proto.board import Board
from proto.devices import IPMMU
from proto.registers import Word
from proto.traces import Unpredictable
from services.devices.iommu_base import Iommu


class Ipmmu(Iommu):
    """One root context, and a cache unit with two micro-TLBs.

    A micro-TLB that is enabled before its root context translates sends accesses to whatever the
    context held before: reported as UNPREDICTABLE.
    """

    def __init__(self, board: Board) -> None:
        rows = (*IPMMU.CONTEXT, *IPMMU.MICRO_TLBS, IPMMU.IMSTR)
        super().__init__(board, IPMMU, dict.fromkeys(rows, 0))
        self.writers[IPMMU.IMSTR] = partial(self.clear_bits, IPMMU.IMSTR)
        self.writers[IPMMU.IMCTR] = self._write_context
        for row in (IPMMU.IMUCTR0, IPMMU.IMUCTR1):
            self.writers[row] = partial(self._write_micro_tlb, row)

    def reports_faults(self) -> bool:
        """The context translates and its interrupt is enabled."""
        return self.has(IPMMU.IMCTR, IPMMU.IMCTR_MMUEN | IPMMU.IMCTR_INTEN)

    def record_fault(self) -> None:
        """A translation fault of the root context."""
        self.registers[IPMMU.IMSTR] |= IPMMU.IMSTR_TF

    def _write_context(self, value: int) -> None:
        self.registers[IPMMU.IMCTR] = value & ~IPMMU.IMCTR_FLUSH

    def _write_micro_tlb(self, row: Word, value: int) -> None:
        self.registers[row] = value & ~IPMMU.IMUCTR_FLUSH
        if value & IPMMU.IMUCTR_MMUEN and not self.has(IPMMU.IMCTR, IPMMU.IMCTR_MMUEN):
            what = f"{row.name} is enabled before its root context"
            self.trace(Unpredictable(what, "Renesas R-Car Gen3 user's manual, IPMMU, Operation"))
