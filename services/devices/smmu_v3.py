"""The SMMUv3.

Source: IHI 0070 (SMMU architecture version 3), Register formats and Commands. Queues count, their
entries are not modelled: a command has been consumed as soon as it has been produced.
"""

from functools import partial

from proto.board import Board
from proto.devices import SMMUV3
from proto.registers import Word
from proto.traces import Unpredictable
from services.devices.iommu_base import Iommu

RESETS = {
    SMMUV3.CR0: 0,
    SMMUV3.CR1: 0,
    SMMUV3.CR2: 0,
    SMMUV3.GBPA: 0,
    SMMUV3.IRQ_CTRL: 0,
    SMMUV3.STRTAB_BASE: 0,
    SMMUV3.STRTAB_BASE_CFG: 0,
    SMMUV3.CMDQ_BASE: 0,
    SMMUV3.CMDQ_PROD: 0,
    SMMUV3.CMDQ_CONS: 0,
    SMMUV3.EVENTQ_BASE: 0,
    SMMUV3.EVENTQ_PROD: 0,
    SMMUV3.EVENTQ_CONS: 0,
    SMMUV3.EVENTQ_IRQ_CFG0: 0,
}

GUARDS = (
    (SMMUV3.STRTAB_BASE, SMMUV3.CR0_SMMUEN),
    (SMMUV3.STRTAB_BASE_CFG, SMMUV3.CR0_SMMUEN),
    (SMMUV3.CR1, SMMUV3.CR0_SMMUEN),
    (SMMUV3.CR2, SMMUV3.CR0_SMMUEN),
    (SMMUV3.CMDQ_BASE, SMMUV3.CR0_CMDQEN),
    (SMMUV3.CMDQ_CONS, SMMUV3.CR0_CMDQEN),
    (SMMUV3.EVENTQ_BASE, SMMUV3.CR0_EVENTQEN),
    (SMMUV3.EVENTQ_PROD, SMMUV3.CR0_EVENTQEN),
)
"""Registers that must not be written while a bit of SMMU_CR0 is set: CONSTRAINED UNPREDICTABLE."""


class SmmuV3(Iommu):
    """An SMMUv3 with a command and an event queue.

    `consumes` is false for a defective one, whose command queue stands still. With MSIs the event
    queue's interrupt is a write to the address in EVENTQ_IRQ_CFG0, and without one there is none.
    """

    def __init__(self, board: Board, consumes: bool = True) -> None:
        super().__init__(board, SMMUV3, RESETS)
        self.consumes = consumes
        self._msi = board.platform.iommu_msi
        self.readers |= {
            SMMUV3.IDR0: lambda: SMMUV3.IDR0_MSI if self._msi else 0,
            SMMUV3.CR0ACK: lambda: self.registers[SMMUV3.CR0],
            SMMUV3.IRQ_CTRLACK: lambda: self.registers[SMMUV3.IRQ_CTRL],
        }
        for row, bit in GUARDS:
            self.writers[row] = partial(self._write_guarded, row, bit)
        self.writers |= {
            SMMUV3.CR0: self._write_cr0,
            SMMUV3.GBPA: self._write_gbpa,
            SMMUV3.CMDQ_PROD: self._write_cmdq_prod,
        }

    def reports_faults(self) -> bool:
        """The event queue is on, and so is its interrupt, which has somewhere to go."""
        queue = self.has(SMMUV3.CR0, SMMUV3.CR0_SMMUEN | SMMUV3.CR0_EVENTQEN)
        interrupt = self.has(SMMUV3.IRQ_CTRL, SMMUV3.IRQ_CTRL_EVENTQ_IRQEN)
        reachable = not self._msi or self.registers[SMMUV3.EVENTQ_IRQ_CFG0] != 0
        return queue and interrupt and reachable

    def record_fault(self) -> None:
        """An event for the queue, if it is on."""
        if self.has(SMMUV3.CR0, SMMUV3.CR0_EVENTQEN):
            self.registers[SMMUV3.EVENTQ_PROD] += 1

    def _write_guarded(self, row: Word, bit: int, value: int) -> None:
        if self.registers[SMMUV3.CR0] & bit:
            what = f"{row.name} is written while SMMU_CR0 is {self.registers[SMMUV3.CR0]:#x}"
            self.trace(Unpredictable(what, f"IHI 0070, {row.name}"))
            return
        self.registers[row] = value

    def _write_cr0(self, value: int) -> None:
        self.registers[SMMUV3.CR0] = value
        self._consume()

    def _write_gbpa(self, value: int) -> None:
        if value & SMMUV3.GBPA_UPDATE:
            self.registers[SMMUV3.GBPA] = value & ~SMMUV3.GBPA_UPDATE

    def _write_cmdq_prod(self, value: int) -> None:
        self.registers[SMMUV3.CMDQ_PROD] = value
        self._consume()

    def _consume(self) -> None:
        if self.consumes and self.has(SMMUV3.CR0, SMMUV3.CR0_CMDQEN):
            self.registers[SMMUV3.CMDQ_CONS] = self.registers[SMMUV3.CMDQ_PROD]
