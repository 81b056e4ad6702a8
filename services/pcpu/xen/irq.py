"""Who owns which interrupt, and what Xen does when one arrives (xen/arch/arm/irq.c)."""

from proto.gic import (
    GICC,
    IAR,
    PPI_HYP_TIMER,
    PPI_MAINTENANCE,
    PPI_VIRT_TIMER,
    SGI_COUNT,
    SPURIOUS,
)
from proto.image import symbol
from proto.platform import IOMMU_SPI, UART_SPI
from services.pcpu.pe import Pe
from services.pcpu.xen.gic import GICC_VA
from services.pcpu.xen.vgic import guest_of, vgic_get_target_vcpu, vgic_inject_irq

HANDLERS: dict[int, str] = {
    PPI_HYP_TIMER: "htimer_interrupt",
    PPI_VIRT_TIMER: "vtimer_interrupt",
    PPI_MAINTENANCE: "maintenance_interrupt",
    UART_SPI: "uart_interrupt",
    IOMMU_SPI: "iommu_fault_interrupt",
}
"""Interrupts that Xen keeps for itself, and the symbol that handles each."""


@symbol
async def hyp_irq(pe: Pe) -> None:
    """The IRQ vector at EL2 (entry.S); IRQs stay masked until the ERET."""
    await gic_interrupt(pe)


@symbol
async def gic_interrupt(pe: Pe) -> None:
    """Acknowledge and handle interrupts until the interface says that there are none."""
    while True:
        iar = await pe.read(GICC_VA + GICC.IAR.offset)
        intid = IAR.INTID.get(iar)
        if intid < SGI_COUNT:
            pe.post(GICC_VA + GICC.EOIR.offset, iar)
            pe.post(GICC_VA + GICC.DIR.offset, iar)
        elif intid < SPURIOUS - 3:
            await do_irq(pe, intid, iar)
        else:
            return


@symbol
async def do_irq(pe: Pe, intid: int, iar: int) -> None:
    """Hand an acknowledged interrupt to its owner.

    A guest's interrupt only has its priority dropped (EOIR); it stays active until the guest
    deactivates it. Xen's own is also deactivated (DIR), after its handler.
    """
    handler = HANDLERS.get(intid)
    if handler is not None:
        await pe.links[handler](pe)
        pe.post(GICC_VA + GICC.EOIR.offset, iar)
        pe.post(GICC_VA + GICC.DIR.offset, iar)
        return
    domain = guest_of(pe.xen, intid)
    pe.post(GICC_VA + GICC.EOIR.offset, iar)
    if domain is None:
        pe.post(GICC_VA + GICC.DIR.offset, iar)
        return
    await vgic_inject_irq(pe, await vgic_get_target_vcpu(pe, domain, intid), intid)


@symbol
async def maintenance_interrupt(pe: Pe) -> None:
    """Nothing to do: the return to the guest refills the list registers."""
    assert pe.irq_masked
