"""The GICv2 driver: set-up, enabling, suspend and resume (xen/arch/arm/gic-v2.c)."""

from proto.gic import (
    GICC,
    GICD,
    PPI_FIRST,
    PPI_HYP_TIMER,
    PPI_MAINTENANCE,
    PPI_VIRT_TIMER,
    SPI_FIRST,
)
from proto.hypercall import Errno
from proto.ids import CpuIndex
from proto.image import symbol
from proto.registers import PerIntid
from services.pcpu.pe import Pe
from services.pcpu.xen.gic import GICC_VA, GICD_VA
from services.pcpu.xen.heap import xfree

ALL = 0xFFFFFFFF
PRIORITY_IRQ = 0xA0
PRIORITY_IPI = 0x90
PRIORITY_MASK_ALL = 0xFF
GICC_CTLR_RUNNING = GICC.CTLR_ENABLE | GICC.CTLR_EOIMODE

XEN_PPIS = (PPI_HYP_TIMER, PPI_VIRT_TIMER, PPI_MAINTENANCE)
"""PPIs that Xen requests on every CPU."""

EDGE = 0b10
"""Upper bit of an ICFGR field."""


def _bytes(value: int) -> int:
    return value * 0x01010101


def gicd_words(pe: Pe, array: PerIntid, first: int = 0) -> tuple[int, ...]:
    """Addresses of an array's words from the one that holds INTID `first`, as implemented."""
    step = array.per_word()
    return tuple(
        GICD_VA + array.word(intid) for intid in range(first, pe.board.platform.intids, step)
    )


@symbol
async def gicv2_dist_init(pe: Pe) -> None:
    """Set up the distributor: all SPIs level, disabled, inactive and targeting this CPU."""
    pe.post(GICD_VA + GICD.CTLR.offset, 0)
    for address in gicd_words(pe, GICD.ICENABLER, SPI_FIRST):
        pe.post(address, ALL)
    for address in gicd_words(pe, GICD.ICFGR, SPI_FIRST):
        pe.post(address, 0)
    for address in gicd_words(pe, GICD.ITARGETSR, SPI_FIRST):
        pe.post(address, _bytes(1 << pe.cpu))
    for address in gicd_words(pe, GICD.IPRIORITYR, SPI_FIRST):
        pe.post(address, _bytes(PRIORITY_IRQ))
    for address in gicd_words(pe, GICD.ICACTIVER, SPI_FIRST):
        pe.post(address, ALL)
    pe.post(GICD_VA + GICD.CTLR.offset, GICD.CTLR_ENABLE)
    await pe.barrier()


@symbol
async def gicv2_cpu_init(pe: Pe) -> int:
    """Set up this CPU's SGIs, PPIs and CPU interface; an error leaves them as they are."""
    if error := await pe.point(f"gicv2_cpu_init pe{pe.cpu}"):
        return error
    sgis = (1 << PPI_FIRST) - 1
    pe.post(GICD_VA + GICD.ICACTIVER.offset, ALL)
    pe.post(GICD_VA + GICD.ICENABLER.offset, ALL & ~sgis)
    pe.post(GICD_VA + GICD.ISENABLER.offset, sgis)
    for intid in range(0, PPI_FIRST, 4):
        pe.post(GICD_VA + GICD.IPRIORITYR.word(intid), _bytes(PRIORITY_IPI))
    for intid in range(PPI_FIRST, SPI_FIRST, 4):
        pe.post(GICD_VA + GICD.IPRIORITYR.word(intid), _bytes(PRIORITY_IRQ))
    pe.post(GICC_VA + GICC.PMR.offset, PRIORITY_MASK_ALL)
    pe.post(GICC_VA + GICC.BPR.offset, 0)
    pe.post(GICC_VA + GICC.CTLR.offset, GICC_CTLR_RUNNING)
    await pe.barrier()
    return 0


@symbol
async def gic_init_secondary_cpu(pe: Pe) -> int:
    """Set up this CPU's part of the GIC; a CPU where that fails must not come online."""
    return await gicv2_cpu_init(pe)


@symbol
async def gic_init_secondary_cpu_unchecked(pe: Pe) -> int:
    """Before 0102b592f4 (2026-08) nobody looked at the result."""
    await gicv2_cpu_init(pe)
    return 0


@symbol
async def init_ppis(pe: Pe, cpu: CpuIndex) -> int:
    """Request the timer and maintenance PPIs on this CPU (init_timer_interrupt, setup_irq)."""
    enable = sum(1 << intid for intid in XEN_PPIS)
    await pe.write(GICD_VA + GICD.ISENABLER.offset, enable)
    return 0


@symbol
async def release_ppis(pe: Pe, cpu: CpuIndex) -> int:
    """Release the timer and maintenance PPIs of this CPU (CPU_DYING)."""
    await disable_ppis(pe)
    return 0


@symbol
async def disable_ppis(pe: Pe) -> None:
    """Switch Xen's PPIs off on this CPU."""
    enable = sum(1 << intid for intid in XEN_PPIS)
    await pe.write(GICD_VA + GICD.ICENABLER.offset, enable)


@symbol
async def release_ppis_and_free(pe: Pe, cpu: CpuIndex) -> int:
    """Before eec94999bf (2025-11) release_irq frees the actions, inside stop_machine."""
    await disable_ppis(pe)
    await xfree(pe, f"irqaction of PPI {XEN_PPIS[0]}")
    return 0


@symbol
async def gic_disable_cpu(pe: Pe) -> None:
    """Close this CPU's interface (gicv2_disable_interface)."""
    await pe.write(GICC_VA + GICC.CTLR.offset, 0)


@symbol
async def gic_route_irq(pe: Pe, intid: int, cpu: CpuIndex, edge: bool = False) -> None:
    """Configure an SPI's trigger and target, and enable it (setup_irq, route_irq_to_guest)."""
    if edge:
        await gicv2_set_irq_type(pe, intid)
    await pe.write(GICD_VA + GICD.ITARGETSR.byte(intid), 1 << cpu, 1)
    await pe.write(GICD_VA + GICD.ISENABLER.word(intid), 1 << intid % 32)


@symbol
async def gicv2_set_irq_type(pe: Pe, intid: int) -> None:
    """Make a disabled SPI edge-triggered."""
    address = GICD_VA + GICD.ICFGR.word(intid)
    word = await pe.read(address)
    await pe.write(address, word | EDGE << intid % 16 * 2)


@symbol
async def gicv2_set_irq_affinity(pe: Pe, intid: int, cpu: CpuIndex) -> None:
    """Route an SPI to a CPU."""
    await pe.write(GICD_VA + GICD.ITARGETSR.byte(intid), 1 << cpu, 1)


@symbol
async def gicv2_disable_irq(pe: Pe, intid: int) -> None:
    """Stop forwarding an SPI."""
    await pe.write(GICD_VA + GICD.ICENABLER.word(intid), 1 << intid % 32)


# -- suspend and resume

SAVED_ARRAYS: tuple[tuple[str, PerIntid, int], ...] = (
    ("isenabler", GICD.ISENABLER, 0),
    ("isactiver", GICD.ISACTIVER, 0),
    ("ipriorityr", GICD.IPRIORITYR, 0),
    ("itargetsr", GICD.ITARGETSR, SPI_FIRST),
    ("icfgr", GICD.ICFGR, PPI_FIRST),
)
"""What gic_suspend saves of the distributor: cells, register array, first INTID."""

CONFIGURATION_FIRST = (
    "icenabler",
    "icfgr",
    "ipriorityr",
    "itargetsr",
    "isenabler",
    "icactiver",
    "isactiver",
)
ENABLES_FIRST = (
    "icenabler",
    "isenabler",
    "icactiver",
    "isactiver",
    "ipriorityr",
    "itargetsr",
    "icfgr",
)
"""Orders in which the distributor's arrays are written back."""

CLEARED: dict[str, PerIntid] = {"icenabler": GICD.ICENABLER, "icactiver": GICD.ICACTIVER}
"""Clear-registers that are written with all ones: a stale bit would stay otherwise."""


@symbol
async def gic_suspend(pe: Pe) -> int:
    """Save the distributor and this CPU's interface into RAM (S9)."""
    cells = pe.xen.gic
    ctlr = await pe.read(GICC_VA + GICC.CTLR.offset)
    pmr = await pe.read(GICC_VA + GICC.PMR.offset)
    bpr = await pe.read(GICC_VA + GICC.BPR.offset)
    gicd_ctlr = await pe.read(GICD_VA + GICD.CTLR.offset)
    error = await gic_quiesce(pe, ctlr)
    if error:
        return error
    await pe.store_burst(
        (cells.gicc_ctlr, cells.gicc_pmr, cells.gicc_bpr, cells.gicd_ctlr),
        (ctlr, pmr, bpr, gicd_ctlr),
    )
    for name, array, first in SAVED_ARRAYS:
        words = [await pe.read(address) for address in gicd_words(pe, array, first)]
        await pe.store_burst(getattr(cells, name)[: len(words)], words)
    return 0


@symbol
async def gic_quiesce(pe: Pe, ctlr: int) -> int:
    """Refuse while an interrupt is active on this CPU; the interface stays open.

    What arrives from here on is seen by firmware, which then does not sleep.
    """
    return -Errno.EBUSY if await pe.read(GICC_VA + GICC.APR.offset) else 0


@symbol
async def gic_quiesce_nothing(pe: Pe, ctlr: int) -> int:
    """The 2025-03 series looks at nothing and leaves everything on."""
    return 0


@symbol
async def gic_quiesce_closed(pe: Pe, ctlr: int) -> int:
    """The 2026-06 series closes the interface, bypass off, then the distributor."""
    closed = (ctlr & ~GICC.CTLR_ENABLE) | GICC.CTLR_BYPASS_DISABLE
    await pe.write(GICC_VA + GICC.CTLR.offset, closed)
    if await pe.read(GICC_VA + GICC.APR.offset):
        await pe.write(GICC_VA + GICC.CTLR.offset, ctlr)
        return -Errno.EBUSY
    await pe.write(GICD_VA + GICD.CTLR.offset, 0)
    return 0


@symbol
async def gic_restore_arrays(pe: Pe) -> None:
    """Configuration before enables: a trigger may be changed only while its interrupt is off."""
    await gic_write_arrays(pe, CONFIGURATION_FIRST)


@symbol
async def gic_restore_arrays_enables_first(pe: Pe) -> None:
    """The 2025-03 series enables before it configures."""
    await gic_write_arrays(pe, ENABLES_FIRST)


async def gic_write_arrays(pe: Pe, order: tuple[str, ...]) -> None:
    """Write saved arrays back in an order, clear-registers with all ones."""
    arrays = {name: (array, first) for name, array, first in SAVED_ARRAYS}
    for name in order:
        if name in CLEARED:
            for address in gicd_words(pe, CLEARED[name], 0):
                pe.post(address, ALL)
            continue
        array, first = arrays[name]
        addresses = gicd_words(pe, array, first)
        words = await pe.load_burst(getattr(pe.xen.gic, name)[: len(addresses)])
        for address, word in zip(addresses, words, strict=True):
            pe.post(address, word)


@symbol
async def gic_resume(pe: Pe) -> None:
    """Write the saved state back, distributor and interface off meanwhile (R2)."""
    cells = pe.xen.gic
    pe.post(GICC_VA + GICC.CTLR.offset, 0)
    pe.post(GICD_VA + GICD.CTLR.offset, 0)
    await gic_restore_arrays(pe)
    ctlr, pmr, bpr, gicd_ctlr = await pe.load_burst(
        (cells.gicc_ctlr, cells.gicc_pmr, cells.gicc_bpr, cells.gicd_ctlr)
    )
    pe.post(GICD_VA + GICD.CTLR.offset, gicd_ctlr)
    pe.post(GICC_VA + GICC.PMR.offset, pmr)
    pe.post(GICC_VA + GICC.BPR.offset, bpr)
    pe.post(GICC_VA + GICC.CTLR.offset, ctlr)
    await pe.barrier()
