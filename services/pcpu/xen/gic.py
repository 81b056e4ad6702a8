"""What Xen uses SGIs for, and where the GIC is mapped (xen/arch/arm/gic.c)."""

from enum import IntEnum

from proto.gic import GICD, SGIR
from proto.ids import CpuIndex
from proto.image import symbol
from proto.platform import GICC_BASE, GICD_BASE
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import ioremap

GICD_VA = ioremap(GICD_BASE)
GICC_VA = ioremap(GICC_BASE)


class GicSgi(IntEnum):
    """What Xen uses its SGIs for (xen/arch/arm/include/asm/gic.h, enum gic_sgi)."""

    EVENT_CHECK = 0
    DUMP_STATE = 1
    CALL_FUNCTION = 2


@symbol
async def send_sgi_event_check(pe: Pe, cpu: CpuIndex) -> None:
    """Make another CPU look at its softirqs (smp_send_event_check_mask)."""
    word = (
        SGIR.TARGET_FILTER.put(SGIR.TO_LIST)
        | SGIR.TARGETS.put(1 << cpu)
        | SGIR.INTID.put(GicSgi.EVENT_CHECK)
    )
    # Stores must be visible to the other CPU before it sees the interrupt (gicv2_send_SGI).
    await pe.barrier()
    pe.post(GICD_VA + GICD.SGIR.offset, word)
