"""The driver of the IPMMU-VMSA (xen/drivers/passthrough/arm/ipmmu-vmsa.c)."""

from collections.abc import Sequence

from proto.devices import IPMMU
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.iommu import IOMMU_VA

P2M_ROOT = 0x8080_0000
"""Physical address of the hardware domain's page table."""
IMTTBCR_EAE = 1 << 31
DEVICES = (IPMMU.IMUCTR0, IPMMU.IMUCTR1)
"""Micro-TLBs of the hardware domain's DMA masters."""
REGISTERS = (*IPMMU.CONTEXT, *IPMMU.MICRO_TLBS)


@symbol
async def ipmmu_setup(pe: Pe) -> None:
    """Program the root context, then send the DMA masters to it (ipmmu_domain_init_context)."""
    await pe.write(IOMMU_VA + IPMMU.IMTTLBR.offset, P2M_ROOT)
    await pe.write(IOMMU_VA + IPMMU.IMTTUBR.offset, 0)
    await pe.write(IOMMU_VA + IPMMU.IMTTBCR.offset, IMTTBCR_EAE)
    control = IPMMU.IMCTR_INTEN | IPMMU.IMCTR_FLUSH | IPMMU.IMCTR_MMUEN
    await pe.write(IOMMU_VA + IPMMU.IMCTR.offset, control)
    for row in DEVICES:
        await pe.write(IOMMU_VA + row.offset, IPMMU.IMUCTR_FLUSH | IPMMU.IMUCTR_MMUEN)


@symbol
async def ipmmu_irq(pe: Pe) -> None:
    """Clear the fault."""
    await pe.write(IOMMU_VA + IPMMU.IMSTR.offset, IPMMU.IMSTR_TF)


@symbol
async def ipmmu_suspend(pe: Pe) -> int:
    """Save the contexts of the root and the micro-TLBs of the cache unit; both run on."""
    values = [await pe.read(IOMMU_VA + row.offset) for row in REGISTERS]
    await pe.store_burst(pe.xen.ipmmu.registers, values)
    return 0


@symbol
async def ipmmu_resume(pe: Pe) -> None:
    """Restore the root's contexts, then the micro-TLBs.

    The other way round, micro-TLBs would send accesses to contexts that are not there yet.
    """
    await ipmmu_restore(pe, range(len(REGISTERS)))


@symbol
async def ipmmu_resume_cache_first(pe: Pe) -> None:
    """Before v10 the micro-TLBs could come first."""
    roots = len(IPMMU.CONTEXT)
    await ipmmu_restore(pe, (*range(roots, len(REGISTERS)), *range(roots)))


@symbol
async def ipmmu_restore(pe: Pe, order: Sequence[int]) -> None:
    """Write the saved registers back in an order of their places in REGISTERS."""
    values = await pe.load_burst(pe.xen.ipmmu.registers)
    for place in order:
        row, value = REGISTERS[place], values[place]
        flush = FLUSHED.get(row, 0)
        await pe.write(IOMMU_VA + row.offset, value | flush)


FLUSHED = {
    IPMMU.IMCTR: IPMMU.IMCTR_FLUSH,
    IPMMU.IMUCTR0: IPMMU.IMUCTR_FLUSH,
    IPMMU.IMUCTR1: IPMMU.IMUCTR_FLUSH,
}
"""Registers whose restore also flushes what was cached."""
