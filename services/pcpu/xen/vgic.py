"""The virtual GIC: pending and enabled bits per vCPU, list registers, trapped distributor.

Source: xen/arch/arm/vgic.c (vgic_inject_irq), vgic-v2.c (the trapped registers), gic-vgic.c (list
registers).
"""

from proto.gic import GICD, LR, PPI_FIRST, SGIR, SPI_FIRST
from proto.ids import CpuIndex, DomainId
from proto.image import symbol
from proto.messages import AtomicOp
from proto.platform import GICD_BASE, RTC_SPI, TTY_SPI
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import VPF_DOWN, vcpu_kick
from services.pcpu.xen.gic_v2 import gic_route_irq, gicv2_disable_irq
from services.pcpu.xen.memory import WORD_BITS, Vcpu, XenMemory

PRIORITY = 0xA0 >> 3
"""Priority of every virtual interrupt, in a list register's five bits."""

WRITE_IGNORED = (GICD.IPRIORITYR, GICD.ITARGETSR, GICD.ICFGR, GICD.ICACTIVER, GICD.ICPENDR)
"""Registers a guest may set up, but that make no difference to this vGIC."""


def guest_of(memory: XenMemory, intid: int) -> DomainId | None:
    """The domain an SPI is assigned to, as the device tree says; None for Xen's own and PPIs."""
    if intid == RTC_SPI:
        return DomainId(0)
    domain = DomainId(intid - TTY_SPI)
    return domain if domain in memory.domains else None


@symbol
async def vgic_inject_irq(pe: Pe, vcpu: Vcpu, intid: int) -> None:
    """Mark a virtual interrupt pending and make its vCPU notice; kept if it cannot run."""
    cells = pe.xen.vcpu[vcpu.index]
    if await pe.load(cells.pause_flags) & VPF_DOWN:
        return
    word, bit = divmod(intid, WORD_BITS)
    await pe.atomic(AtomicOp.SET, cells.vgic_pending[word], 1 << bit)
    await vcpu_kick(pe, vcpu)


@symbol
async def vgic_sync_to_lrs(pe: Pe, vcpu: Vcpu) -> None:
    """Move pending, enabled interrupts into free list registers (before entering the guest)."""
    cells = pe.xen.vcpu[vcpu.index]
    count = len(cells.vgic_pending)
    words = await pe.load_burst(cells.vgic_pending + cells.vgic_enabled)
    if not any(words[:count]):
        return
    lrs = list(pe.lrs)
    for word in range(count):
        taken = 0
        ready = words[word] & words[count + word]
        while ready:
            bit = (ready & -ready).bit_length() - 1
            ready &= ready - 1
            if not _place(pe, lrs, word * WORD_BITS + bit):
                break
            taken |= 1 << bit
        if taken:
            await pe.atomic(AtomicOp.CLEAR, cells.vgic_pending[word], taken)
    pe.lrs = tuple(lrs)


def _place(pe: Pe, lrs: list[int], intid: int) -> bool:
    """Put one interrupt into the list registers; False if they are full.

    One that the guest still handles becomes active and pending, unless the hardware tracks it: then
    it cannot have come again.
    """
    for index, lr in enumerate(lrs):
        if LR.STATE.get(lr) and LR.VIRTUAL_ID.get(lr) == intid:
            if not lr & LR.HW:
                lrs[index] = lr | LR.STATE.put(LR.PENDING)
            return True
    for index, lr in enumerate(lrs):
        if not LR.STATE.get(lr):
            lrs[index] = (
                LR.STATE.put(LR.PENDING)
                | LR.PRIORITY.put(PRIORITY)
                | LR.VIRTUAL_ID.put(intid)
                | LR.GROUP1
                | (LR.HW | LR.PHYSICAL_ID.put(intid) if guest_of(pe.xen, intid) is not None else 0)
            )
            return True
    return False


@symbol
async def local_events_need_delivery(pe: Pe, vcpu: Vcpu) -> bool:
    """Whether an interrupt waits for the current vCPU."""
    if any(LR.STATE.get(lr) & LR.PENDING for lr in pe.lrs):
        return True
    cells = pe.xen.vcpu[vcpu.index]
    count = len(cells.vgic_pending)
    words = await pe.load_burst(cells.vgic_pending + cells.vgic_enabled)
    return any(words[word] & words[count + word] for word in range(count))


@symbol
async def vgic_clear_pending(pe: Pe, vcpu: Vcpu) -> None:
    """Forget what was pending for a vCPU that CPU_ON starts afresh (vgic_clear_pending_irqs)."""
    cells = pe.xen.vcpu[vcpu.index].vgic_pending
    await pe.store_burst(cells, (0,) * len(cells))


# -- the trapped distributor


@symbol
async def vgic_v2_distr_mmio(
    pe: Pe, vcpu: Vcpu, address: int, is_write: bool, value: int
) -> int | None:
    """Emulate a guest's access to its distributor; None if no register is there.

    A write gives 0.
    """
    offset = address - GICD_BASE
    if GICD.SGIR.covers(offset) and is_write:
        await vgic_to_sgi(pe, vcpu, value)
        return 0
    for array, setting in ((GICD.ISENABLER, True), (GICD.ICENABLER, False)):
        if array.covers(offset):
            first = array.first_intid(offset)
            if not is_write:
                return await _read_enabled(pe, vcpu, first)
            await _write_enabled(pe, vcpu, first, value, setting)
            return 0
    if GICD.CTLR.covers(offset):
        return 0 if is_write else GICD.CTLR_ENABLE
    if GICD.TYPER.covers(offset) and not is_write:
        vcpus = len(pe.xen.vcpus_of(vcpu.domain))
        return (vcpus - 1) << 5 | (pe.board.platform.intids // 32 - 1)
    for array in WRITE_IGNORED:
        if array.covers(offset):
            return 0
    return None


def _holder(pe: Pe, vcpu: Vcpu, first: int) -> Vcpu:
    """The vCPU whose bitmap has these interrupts: SPIs are kept with the one they go to."""
    return vcpu if first < SPI_FIRST else pe.xen.vcpus_of(vcpu.domain)[0]


async def _read_enabled(pe: Pe, vcpu: Vcpu, first: int) -> int:
    word, shift = divmod(first, WORD_BITS)
    holder = _holder(pe, vcpu, first)
    return await pe.load(pe.xen.vcpu[holder.index].vgic_enabled[word]) >> shift & 0xFFFFFFFF


async def _write_enabled(pe: Pe, vcpu: Vcpu, first: int, value: int, setting: bool) -> None:
    """ISENABLER or ICENABLER: what changes is passed on to the hardware if it is the guest's."""
    word, shift = divmod(first, WORD_BITS)
    holder = _holder(pe, vcpu, first)
    cell = pe.xen.vcpu[holder.index].vgic_enabled[word]
    operation = AtomicOp.SET if setting else AtomicOp.CLEAR
    before = await pe.atomic(operation, cell, value << shift)
    changed = value & ~(before >> shift) if setting else value & before >> shift
    for bit in range(32):
        intid = first + bit
        if changed >> bit & 1 and guest_of(pe.xen, intid) == vcpu.domain:
            await (vgic_enable_irq if setting else vgic_disable_irq)(pe, holder, intid)


@symbol
async def vgic_enable_irq(pe: Pe, vcpu: Vcpu, intid: int) -> None:
    """Enable a guest's hardware interrupt, routed to where its vCPU runs (vgic_enable_irqs)."""
    processor = await pe.load(pe.xen.vcpu[vcpu.index].processor)
    await gic_route_irq(pe, intid, CpuIndex(processor))


@symbol
async def vgic_disable_irq(pe: Pe, vcpu: Vcpu, intid: int) -> None:
    """Disable a guest's hardware interrupt (vgic_disable_irqs)."""
    await gicv2_disable_irq(pe, intid)


@symbol
async def vgic_to_sgi(pe: Pe, vcpu: Vcpu, sgir: int) -> None:
    """A guest's write to GICD_SGIR: make the SGI pending at the vCPUs it names."""
    siblings = pe.xen.vcpus_of(vcpu.domain)
    match SGIR.TARGET_FILTER.get(sgir):
        case SGIR.TO_LIST:
            targets = [v for v in siblings if SGIR.TARGETS.get(sgir) >> v.number & 1]
        case SGIR.TO_OTHERS:
            targets = [v for v in siblings if v is not vcpu]
        case _:
            targets = [vcpu]
    assert SGIR.INTID.get(sgir) < PPI_FIRST
    for target in targets:
        await vgic_inject_irq(pe, target, SGIR.INTID.get(sgir))
