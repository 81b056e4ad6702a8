"""What runs on a bare PE: set up the GIC, obey the driver, acknowledge and count interrupts."""

from proto.gic import GICC, GICD, IAR, SGI_COUNT, SPI_FIRST, SPURIOUS
from proto.ids import OPERATOR
from proto.image import symbol
from proto.machine import ExternalAbort
from proto.messages import BareAccess, BareCall, BareMask, BareTaken, BareTimer
from proto.platform import GICC_BASE, GICD_BASE
from proto.timer import ENABLE
from services.bare.pe import COMPARATORS, BarePe

PRIORITY = 0xA0
PRIORITY_MASK_OPEN = 0xF0
"""Priority of every interrupt, and what GICC_PMR lets through."""
WORD_MASK = 0xFFFF_FFFF
SILENCE_READS = 10_000
"""How often the handler looks whether a line has fallen; a line that stays high is a fault."""


@symbol
async def bare_entry(pe: BarePe) -> None:
    """Where a PE begins, whatever brought it up: nothing of an earlier life is left."""
    await bare_gic_setup(pe)
    values: tuple[int, ...] = ()
    abort = ""
    while True:
        order = await pe.order(values, abort)
        abort = ""
        try:
            values = await bare_obey(pe, order)
        except ExternalAbort as refusal:
            values, abort = (), str(refusal)


@symbol
async def bare_obey(
    pe: BarePe, order: BareCall | BareAccess | BareMask | BareTimer
) -> tuple[int, ...]:
    """Carry out one order of the driver; gives its results."""
    match order:
        case BareCall(registers=registers, secure=secure, aarch32=aarch32):
            pe.registers[:] = registers
            await pe.smc(secure, aarch32)
            return tuple(pe.registers)
        case BareAccess(address=address, width=width, value=None):
            return (await bare_load(pe, address, width),)
        case BareAccess(address=address, width=width, value=int(value)):
            await pe.write(address, value, width)
        case BareMask(masked=True):
            await pe.irq_disable()
        case BareMask(masked=False):
            await pe.irq_enable()
        case BareTimer(intid=intid, after_ns=after_ns):
            pe.set_comparator(intid, ENABLE, pe.now + after_ns)
    return ()


@symbol
async def bare_load(pe: BarePe, address: int, width: int) -> int:
    """Load from a device register."""
    return await pe.read(address, width)


@symbol
async def bare_gic_setup(pe: BarePe) -> None:
    """Restore the GIC as this program wants it: all that the case uses enabled, one priority.

    SPIs are level-sensitive, which is their reset value. The distributor is set up by every PE
    alike: the power of the GIC may have been cut while this one was away.
    """
    for intid in (*range(SGI_COUNT), *COMPARATORS, *pe.routes):
        pe.post(GICD_BASE + GICD.IPRIORITYR.byte(intid), PRIORITY, 1)
    for intid, target in pe.routes.items():
        if not await pe.read(GICD_BASE + GICD.ITARGETSR.byte(intid), 1):
            pe.post(GICD_BASE + GICD.ITARGETSR.byte(intid), 1 << target, 1)
    enables = dict.fromkeys(range(0, pe.platform.intids, SPI_FIRST), 0)
    for intid in (*range(SGI_COUNT), *COMPARATORS, *pe.routes):
        enables[intid // 32 * 32] |= 1 << intid % 32
    for first, bits in enables.items():
        pe.post(GICD_BASE + GICD.ISENABLER.word(first), bits)
    pe.post(GICD_BASE + GICD.CTLR.offset, GICD.CTLR_ENABLE)
    pe.post(GICC_BASE + GICC.PMR.offset, PRIORITY_MASK_OPEN)
    pe.post(GICC_BASE + GICC.CTLR.offset, GICC.CTLR_ENABLE | GICC.CTLR_BYPASS_DISABLE)
    await pe.barrier()


@symbol
async def bare_irq(pe: BarePe) -> None:
    """The IRQ vector: acknowledge, silence the source, tell the driver, end."""
    iar = await pe.read(GICC_BASE + GICC.IAR.offset)
    intid = IAR.INTID.get(iar)
    if intid == SPURIOUS:
        return
    if intid in COMPARATORS:
        pe.set_comparator(intid, 0, 0)
    await pe.transact(OPERATOR, lambda tx: BareTaken(tx, intid, IAR.CPUID.get(iar)))
    if intid >= SGI_COUNT:
        await bare_wait_silent(pe, intid)
    await pe.write(GICC_BASE + GICC.EOIR.offset, iar)


@symbol
async def bare_wait_silent(pe: BarePe, intid: int) -> None:
    """Wait until the GIC sees the line low: ended while it is high, the interrupt comes again."""
    address = GICD_BASE + GICD.ISPENDR.word(intid)
    for _ in range(SILENCE_READS):
        if not await pe.read(address) >> intid % 32 & 1:
            return
    raise ExternalAbort(f"the line of INTID {intid} stays high although its device is silent")
