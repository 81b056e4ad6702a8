"""The SMMUv1 and v2.

Source: IHI 0062 (SMMU architecture version 2), Global register space 0.
"""

from functools import partial

from proto.board import Board
from proto.devices import SMMU
from services.devices.iommu_base import Iommu


class Smmu(Iommu):
    """An SMMUv1 or v2; reset leaves it in bypass."""

    def __init__(self, board: Board) -> None:
        super().__init__(board, SMMU, {SMMU.CR0: SMMU.CR0_CLIENTPD, SMMU.GFSR: 0})
        self.writers[SMMU.GFSR] = partial(self.clear_bits, SMMU.GFSR)

    def reports_faults(self) -> bool:
        """Translation is on and global faults have an interrupt."""
        enabled = self.has(SMMU.CR0, SMMU.CR0_GFIE)
        return enabled and not self.has(SMMU.CR0, SMMU.CR0_CLIENTPD)

    def record_fault(self) -> None:
        """An invalid context fault."""
        self.registers[SMMU.GFSR] |= SMMU.GFSR_ICF
