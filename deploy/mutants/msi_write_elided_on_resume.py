"""A register that controls the IOMMU's interrupt is not written where its cached value is equal."""

from collections.abc import Sequence

from proto.devices import IPMMU
from proto.patch import Mutant, relink_xen
from services.pcpu.pe import Pe
from services.pcpu.xen.iommu import IOMMU_VA
from services.pcpu.xen.ipmmu_vmsa import FLUSHED, REGISTERS

MUTANT = Mutant(
    id="msi-write-elided-on-resume",
    title="The IOMMU's interrupt stays off: the cached value is equal, the hardware has lost it",
    source="Xen c9f62baee8 (2025-03-17, x86)",
    section="D",
    confidence="high",
    property="iommu",
    finding="IMCTR0",
    platform="dual",
)

CACHED = IPMMU.IMCTR_INTEN | IPMMU.IMCTR_MMUEN
"""What the driver has written to IMCTR, and keeps as the register's value."""


@relink_xen
async def ipmmu_restore(pe: Pe, order: Sequence[int]) -> None:
    """A write that would not change what the driver believes to be there is left out."""
    values = await pe.load_burst(pe.xen.ipmmu.registers)
    for place in order:
        row, value = REGISTERS[place], values[place]
        if row is IPMMU.IMCTR and value == CACHED:
            continue
        await pe.write(IOMMU_VA + row.offset, value | FLUSHED.get(row, 0))
