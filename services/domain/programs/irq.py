"""The guest's interrupts: its distributor (which Xen traps), its CPU interface, its IRQ vector."""

from proto.devices import RTC
from proto.gic import GICC, GICD, IAR, PPI_VIRT_TIMER, SGI_COUNT, SGIR
from proto.hypercall import EVTCHN_PPI
from proto.image import symbol
from proto.platform import GICC_BASE, GICD_BASE, RTC_BASE, RTC_SPI, TTY_SPI
from services.domain.guest_cpu import SPECIAL_INTIDS, GuestCpu
from services.domain.programs.console import linux_tty_interrupt
from services.domain.programs.evtchn import linux_evtchn_interrupt
from services.domain.programs.tick import linux_timer_interrupt
from services.domain.programs.workload import violation

IRQS_PER_EXCEPTION = 64
"""Interrupts handled before the handler returns and is taken again."""

PRIORITY_MASK = 0xF0
"""GICC_PMR of Linux (DEFAULT_PMR_VALUE)."""

GICC_CTLR = 0b111
"""Both groups enabled, and AckCtl so that IAR acknowledges both."""

SGI_RESCHEDULE = 0
"""The SGI that only makes a vCPU look at what it has to do."""


@symbol
async def linux_gic_dist_init(cpu: GuestCpu) -> None:
    """Enable the distributor and the SPIs of the domain's devices."""
    await cpu.write(GICD_BASE + GICD.CTLR.offset, GICD.CTLR_ENABLE)
    spis = [TTY_SPI + cpu.domain.spec.id]
    if cpu.domain.spec.id == 0:
        spis.append(RTC_SPI)
    words: dict[int, int] = {}
    for intid in sorted(spis):
        offset = GICD.ISENABLER.word(intid)
        words[offset] = words.get(offset, 0) | 1 << intid % 32
    for offset, bits in words.items():
        await cpu.write(GICD_BASE + offset, bits)


@symbol
async def linux_gic_cpu_init(cpu: GuestCpu) -> None:
    """Enable the executing vCPU's SGIs and its timer, then its CPU interface."""
    bits = (1 << SGI_COUNT) - 1 | 1 << PPI_VIRT_TIMER | 1 << EVTCHN_PPI
    await cpu.write(GICD_BASE + GICD.ISENABLER.word(0), bits)
    await linux_gic_cpu_restore(cpu)


@symbol
async def linux_gic_cpu_restore(cpu: GuestCpu) -> None:
    """Enable the CPU interface."""
    await cpu.write(GICC_BASE + GICC.PMR.offset, PRIORITY_MASK)
    await cpu.write(GICC_BASE + GICC.CTLR.offset, GICC_CTLR)


@symbol
async def linux_smp_send_reschedule(cpu: GuestCpu) -> None:
    """Make every other online vCPU look at what it has to do."""
    sgi = SGIR.TARGET_FILTER.put(SGIR.TO_OTHERS) | SGIR.INTID.put(SGI_RESCHEDULE)
    await cpu.write(GICD_BASE + GICD.SGIR.offset, sgi)


@symbol
async def linux_vectors(cpu: GuestCpu) -> None:
    """The IRQ vector: handle what is pending; returning from here is the ERET."""
    for _ in range(IRQS_PER_EXCEPTION):
        iar = await cpu.read(GICC_BASE + GICC.IAR.offset)
        intid = IAR.INTID.get(iar)
        if intid >= SPECIAL_INTIDS:
            return
        await linux_handle_irq(cpu, intid)
        await cpu.write(GICC_BASE + GICC.EOIR.offset, iar)


@symbol
async def linux_handle_irq(cpu: GuestCpu, intid: int) -> None:
    """Call the handler of an interrupt."""
    if intid == PPI_VIRT_TIMER:
        await linux_timer_interrupt(cpu)
    elif intid == TTY_SPI + cpu.domain.spec.id:
        await linux_tty_interrupt(cpu)
    elif intid == RTC_SPI:
        await linux_rtc_interrupt(cpu)
    elif intid == EVTCHN_PPI:
        await linux_evtchn_interrupt(cpu)
    elif intid != SGI_RESCHEDULE:
        violation(cpu, f"unexpected interrupt {intid}")


@symbol
async def linux_rtc_interrupt(cpu: GuestCpu) -> None:
    """Acknowledge the alarm; the last read gives the line time to fall."""
    await cpu.write(RTC_BASE + RTC.STATUS.offset, RTC.STATUS_ALARM)
    await cpu.read(RTC_BASE + RTC.STATUS.offset)
