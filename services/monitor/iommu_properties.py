"""What suspend must not do to DMA: leave it blocked, or untranslated, without a word."""

from collections.abc import Mapping
from typing import Final

from proto.devices import IPMMU, SMMUV3
from proto.ids import NodeId
from proto.messages import BlockPower, RegWrite
from proto.platform import IOMMU_BASE, IommuDriver, Retention, retention
from proto.registers import Word
from proto.traces import Phase
from services.monitor.evidence import Moment, Table
from services.monitor.prop import Property, names
from services.monitor.shadow import Shadow

IOMMU: Final = NodeId("iommu")

SETTINGS: Mapping[IommuDriver, Mapping[Word, int]] = {
    IommuDriver.IPMMU_VMSA: {
        **dict.fromkeys((*IPMMU.CONTEXT, *IPMMU.MICRO_TLBS), -1),
        IPMMU.IMCTR: ~IPMMU.IMCTR_FLUSH,
        IPMMU.IMUCTR0: ~IPMMU.IMUCTR_FLUSH,
        IPMMU.IMUCTR1: ~IPMMU.IMUCTR_FLUSH,
    },
    IommuDriver.SMMUV3: dict.fromkeys(
        (
            SMMUV3.CR0,
            SMMUV3.IRQ_CTRL,
            SMMUV3.STRTAB_BASE,
            SMMUV3.STRTAB_BASE_CFG,
            SMMUV3.CMDQ_BASE,
            SMMUV3.EVENTQ_BASE,
        ),
        -1,
    ),
}
"""An IOMMU's registers that decide on translation and faults, with the bits that stay."""


class IommuIsTheSame(Property):
    """Follows Xen's writes, and the power that takes them away, from S5 to R5."""

    name = "iommu"
    clause = (
        "After R5 the IOMMU translates and reports faults as before S5, or Xen has panicked "
        "(Xen arm_smmu_v3_resume, ipmmu_resume)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        board = shadow.board
        settings = SETTINGS.get(board.platform.iommu, {})
        self._rows = {IOMMU_BASE + row.offset: (row, bits) for row, bits in settings.items()}
        self._is_lost = retention(board.scenario.power_model, "iommu") is Retention.LOST
        self._now: dict[int, int] = {}
        """Address of a register to what Xen wrote there."""
        self._before: tuple[int, dict[int, int]] | None = None

    @property
    def traced(self) -> Table:
        """Both ends of the interval."""
        return {Phase: self._on_phase}

    @property
    def received(self) -> Table:
        """Writes, and the block's power."""
        return {RegWrite: self._on_write, BlockPower: self._on_power}

    def _on_write(self, moment: Moment, body: RegWrite) -> None:
        if moment.node == IOMMU and body.address in self._rows:
            self._now[body.address] = body.value & self._rows[body.address][1]

    def _on_power(self, moment: Moment, body: BlockPower) -> None:
        if moment.node == IOMMU and not body.on and (self._is_lost or body.reset):
            self._now.clear()

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if (event.label, event.edge) == ("S5", "begin"):
            self._before = (moment.position, dict(self._now))
        elif (event.label, event.edge) == ("R5", "end") and self._before is not None:
            (position, wanted), self._before = self._before, None
            self.reached = self.reached or bool(self._rows)
            self._compare(wanted, position, moment.position)

    def _compare(self, wanted: dict[int, int], *where: int) -> None:
        wrong = [
            f"{row.name} is {self._now.get(address, 0):#x}, it was {wanted.get(address, 0):#x}"
            for address, (row, _) in self._rows.items()
            if self._now.get(address, 0) != wanted.get(address, 0)
        ]
        if wrong:
            self.find(f"the IOMMU is not as it was before S5: {names(wrong)}", *where)
