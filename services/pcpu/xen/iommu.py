"""The IOMMU driver and its suspend hooks (xen/drivers/passthrough/iommu.c)."""

from proto.devices import IOMMU
from proto.image import symbol
from proto.platform import IOMMU_BASE, IOMMU_SPI
from services.pcpu.pe import Pe
from services.pcpu.xen.gic_v2 import gic_route_irq
from services.pcpu.xen.memory import ioremap

IOMMU_VA = ioremap(IOMMU_BASE)
CONTEXT_TABLE = 0x8080_0000
"""Physical address of the context table."""


@symbol
async def iommu_setup(pe: Pe) -> None:
    """Enable translation and take the fault interrupt, which is an edge."""
    await iommu_enable(pe)
    await gic_route_irq(pe, IOMMU_SPI, pe.cpu, edge=True)


@symbol
async def iommu_enable(pe: Pe) -> None:
    """Write the context table's address, then enable translation."""
    await pe.write(IOMMU_VA + IOMMU.CBASE_LO.offset, CONTEXT_TABLE)
    await pe.write(IOMMU_VA + IOMMU.CBASE_HI.offset, 0)
    await pe.write(IOMMU_VA + IOMMU.CR.offset, IOMMU.CR_ENABLE)


@symbol
async def iommu_fault_interrupt(pe: Pe) -> None:
    """Clear the fault."""
    await pe.write(IOMMU_VA + IOMMU.FSR.offset, IOMMU.FSR_FAULT)


@symbol
async def iommu_suspend(pe: Pe) -> int:
    """Stop translation; its registers may be lost from here on (S5)."""
    await pe.write(IOMMU_VA + IOMMU.CR.offset, 0)
    return 0


@symbol
async def iommu_resume(pe: Pe) -> None:
    """Program the registers again (R5)."""
    await iommu_enable(pe)
