"""The virtual GIC: what is pending for each vCPU, its list registers, where interrupts go.

Source: xen/arch/arm/vgic.c (vgic_inject_irq, vgic_migrate_irq, arch_move_irqs), gic-vgic.c (list
registers, vgic_vcpu_pending_irq). Pending interrupts are a bitmap of the vCPU they go to. Private
interrupts are enabled and given a priority per vCPU, SPIs per domain, where each has a target vCPU.
The trapped distributor, through which guests set all this up, is in `vgic_v2`.
"""

from collections.abc import Sequence

from proto.gic import GICD, LR, SGI_COUNT, SPI_FIRST
from proto.ids import CpuIndex, DomainId
from proto.image import symbol
from proto.messages import AtomicOp, BankRead
from proto.platform import RTC_SPI, TTY_SPI
from proto.traces import VcpuPlaced
from services.pcpu.pe import HCR_UIE, Pe
from services.pcpu.xen.context import saved_words
from services.pcpu.xen.domain import VPF_DOWN, vcpu_kick
from services.pcpu.xen.gic import GICD_VA
from services.pcpu.xen.gic_v2 import gicv2_set_irq_affinity
from services.pcpu.xen.memory import WORD_BITS, Vcpu, XenMemory

FIELD_BITS = 8
FIELDS = WORD_BITS // FIELD_BITS
"""Byte-wide fields in a cell: priorities, targets, SGI sources."""

PRIVATE = (1 << SPI_FIRST) - 1
"""SGIs and PPIs in the first word of a bitmap."""

PRIORITY_SHIFT = 3
"""A list register has the upper five bits of a priority (GIC_PRI_TO_GUEST)."""

IDLE_PRIORITY = 32
"""What is running when nothing is, in a list register's five bits."""

VMCR_PRIORITY_SHIFT = 27


def guest_of(memory: XenMemory, intid: int) -> DomainId | None:
    """The domain an SPI is assigned to, as the device tree says; None for Xen's own and PPIs."""
    if intid == RTC_SPI:
        return DomainId(0)
    domain = DomainId(intid - TTY_SPI)
    return domain if domain in memory.domains else None


def field_of(words: Sequence[int], index: int) -> int:
    """A byte-wide field in an array of cells."""
    word, at = divmod(index, FIELDS)
    return words[word] >> at * FIELD_BITS & 0xFF


# -- injection


@symbol
async def vgic_get_target_vcpu(pe: Pe, domain: DomainId, intid: int) -> Vcpu:
    """The vCPU that an SPI goes to."""
    word, at = divmod(intid, FIELDS)
    targets = await pe.load(pe.xen.domains[domain].spi_target[word])
    return pe.xen.vcpus_of(domain)[targets >> at * FIELD_BITS & 0xFF]


@symbol
async def vgic_inject_irq(pe: Pe, vcpu: Vcpu, intid: int) -> None:
    """Mark a virtual interrupt pending and make its vCPU notice; kept if it cannot run.

    For a vCPU that is down it is dropped, and a hardware interrupt stays active.
    """
    cells = pe.xen.vcpu[vcpu.index]
    if await pe.load(cells.pause_flags) & VPF_DOWN:
        return
    word, bit = divmod(intid, WORD_BITS)
    await pe.atomic(AtomicOp.SET, cells.vgic_pending[word], 1 << bit)
    await vcpu_kick(pe, vcpu)


@symbol
async def vgic_inject_sgi(pe: Pe, target: Vcpu, intid: int, source: Vcpu) -> None:
    """Mark an SGI pending from its source; each source is delivered on its own."""
    word, at = divmod(intid, FIELDS)
    bit = 1 << at * FIELD_BITS + source.number
    await pe.atomic(AtomicOp.SET, pe.xen.vcpu[target.index].sgi_sources[word], bit)
    await vgic_inject_irq(pe, target, intid)


# -- list registers


@symbol
async def vgic_sync_from_lrs(pe: Pe) -> None:
    """The guest has been left: no more underflow interrupts until it is entered again."""
    pe.hcr &= ~HCR_UIE


@symbol
async def vgic_sync_to_lrs(pe: Pe, vcpu: Vcpu) -> None:
    """Move pending, enabled interrupts into list registers, the most urgent first.

    A list register whose interrupt is less urgent and has not been taken gives way. While some are
    left over, the guest is to be interrupted when its list registers run empty (GICH_HCR.UIE).
    """
    ready, candidates = await pending_irqs(pe, vcpu)
    if not ready:
        return
    lrs = list(pe.lrs)
    taken: list[tuple[int, int]] = []
    evicted: list[int] = []
    left = False
    for priority, intid, source in candidates:
        hardware = guest_of(pe.xen, intid) == vcpu.domain
        if _place(lrs, (priority, intid, source), hardware, evicted):
            taken.append((intid, source))
        else:
            left = True
    pe.lrs = tuple(lrs)
    await forget_pending(pe, vcpu, taken)
    for lr in evicted:
        await put_back(pe, vcpu, lr)
    if left or evicted:
        pe.hcr |= HCR_UIE


@symbol
async def pending_irqs(pe: Pe, vcpu: Vcpu) -> tuple[bool, list[tuple[int, int, int]]]:
    """Whether anything is pending and enabled, and what: priority, INTID, source, in order."""
    own, shared = pe.xen.vcpu[vcpu.index], pe.xen.domains[vcpu.domain]
    count = len(own.vgic_pending)
    words = await pe.load_burst((*own.vgic_pending, own.vgic_enabled, *shared.spi_enabled))
    enabled = list(words[count + 1 :])
    enabled[0] = enabled[0] & ~PRIVATE | words[count] & PRIVATE
    ready = [word & mask for word, mask in zip(words[:count], enabled, strict=True)]
    if not any(ready):
        return False, []
    tables = await pe.load_burst(
        (*own.private_priority, *shared.spi_priority[len(own.private_priority) :], *own.sgi_sources)
    )
    priorities, sources = tables[: -len(own.sgi_sources)], tables[-len(own.sgi_sources) :]
    found: list[tuple[int, int, int]] = []
    for intid in _intids(ready):
        priority = field_of(priorities, intid) >> PRIORITY_SHIFT
        waiting = field_of(sources, intid) if intid < SGI_COUNT else 0
        found += [(priority, intid, source) for source in _bits(waiting or 1)]
    return True, sorted(found)


def _intids(words: Sequence[int]) -> list[int]:
    return [number * WORD_BITS + bit for number, word in enumerate(words) for bit in _bits(word)]


def _bits(word: int) -> list[int]:
    return [bit for bit in range(word.bit_length()) if word >> bit & 1]


def _identity(lr: int) -> tuple[int, int]:
    """What a list register is about: the INTID, and the source of an SGI."""
    intid = LR.VIRTUAL_ID.get(lr)
    return intid, LR.CPUID.get(lr) if intid < SGI_COUNT else 0


def _place(
    lrs: list[int], candidate: tuple[int, int, int], hardware: bool, evicted: list[int]
) -> bool:
    """Put one interrupt into the list registers; False if there is no room for it.

    One that the guest still handles becomes active and pending, unless the hardware tracks it: then
    it cannot have come again. The hardware tracks what is assigned to the guest's own domain.
    """
    priority, intid, source = candidate
    for index, lr in enumerate(lrs):
        if LR.STATE.get(lr) and _identity(lr) == (intid, source):
            if not lr & LR.HW:
                lrs[index] = lr | LR.STATE.put(LR.PENDING)
            return True
    free = [index for index, lr in enumerate(lrs) if not LR.STATE.get(lr)]
    victim = free[0] if free else _victim(lrs, priority)
    if victim is None:
        return False
    if not free:
        evicted.append(lrs[victim])
    lrs[victim] = (
        LR.STATE.put(LR.PENDING)
        | LR.PRIORITY.put(priority)
        | LR.VIRTUAL_ID.put(intid)
        | LR.GROUP1
        | (LR.HW | LR.PHYSICAL_ID.put(intid) if hardware else 0)
        | (LR.CPUID.put(source) if intid < SGI_COUNT else 0)
    )
    return True


def _victim(lrs: list[int], priority: int) -> int | None:
    """The list register that gives way to a priority: the least urgent that nobody has taken."""
    waiting = [
        (LR.PRIORITY.get(lr), index)
        for index, lr in enumerate(lrs)
        if LR.STATE.get(lr) == LR.PENDING
    ]
    worst = max(waiting, default=(0, 0))
    return worst[1] if worst[0] > priority else None


@symbol
async def forget_pending(pe: Pe, vcpu: Vcpu, taken: Sequence[tuple[int, int]]) -> None:
    """Clear what has gone into list registers, unless it has come again meanwhile.

    An SGI is not pending any more when its last source has been taken; one that is injected in
    between finds either its bit still set or has it set again here.
    """
    cells = pe.xen.vcpu[vcpu.index]
    for word, cell in enumerate(cells.vgic_pending):
        bits = sum({1 << intid % WORD_BITS for intid, _ in taken if intid // WORD_BITS == word})
        if bits:
            await pe.atomic(AtomicOp.CLEAR, cell, bits)
    for word, cell in enumerate(cells.sgi_sources):
        mine = [(n, s) for n, s in taken if n < SGI_COUNT and n // FIELDS == word]
        bits = sum(1 << n % FIELDS * FIELD_BITS + source for n, source in mine)
        if bits:
            left = await pe.atomic(AtomicOp.CLEAR, cell, bits) & ~bits
            again = sum({1 << n for n, _ in mine if left >> n % FIELDS * FIELD_BITS & 0xFF})
            if again:
                await pe.atomic(AtomicOp.SET, cells.vgic_pending[0], again)


@symbol
async def put_back(pe: Pe, vcpu: Vcpu, lr: int) -> None:
    """An interrupt that gave way waits again."""
    cells = pe.xen.vcpu[vcpu.index]
    intid, source = _identity(lr)
    if intid < SGI_COUNT:
        word, at = divmod(intid, FIELDS)
        await pe.atomic(AtomicOp.SET, cells.sgi_sources[word], 1 << at * FIELD_BITS + source)
    word, bit = divmod(intid, WORD_BITS)
    await pe.atomic(AtomicOp.SET, cells.vgic_pending[word], 1 << bit)


@symbol
async def local_events_need_delivery(pe: Pe, vcpu: Vcpu) -> bool:
    """Whether an interrupt waits that the current vCPU would take if PSTATE let it.

    It must pass the guest's priority mask and be more urgent than what the guest is handling
    (local_events_need_delivery_nomask, vgic_vcpu_pending_irq).
    """
    waiting = [LR.PRIORITY.get(lr) for lr in pe.lrs if LR.STATE.get(lr) & LR.PENDING]
    _, candidates = await pending_irqs(pe, vcpu)
    waiting += [priority for priority, _, _ in candidates]
    if not waiting:
        return False
    vmcr, apr = await virtual_interface(pe, vcpu)
    running = (apr & -apr).bit_length() - 1 if apr else IDLE_PRIORITY
    return min(waiting) < min(vmcr >> VMCR_PRIORITY_SHIFT, running)


@symbol
async def virtual_interface(pe: Pe, vcpu: Vcpu) -> tuple[int, int]:
    """GICH_VMCR and GICH_APR of a vCPU: this PE's if it is loaded, else as they were saved."""
    if pe.loaded is not vcpu:
        vmcr, apr = await saved_words(pe, vcpu, "vmcr", "apr")
        return vmcr, apr
    number = vcpu.number
    vmcr = await pe.transact(vcpu.node, lambda tx: BankRead(tx, number, "GICH_VMCR"))
    return vmcr, await pe.transact(vcpu.node, lambda tx: BankRead(tx, number, "GICH_APR"))


@symbol
async def vgic_clear_pending(pe: Pe, vcpu: Vcpu) -> None:
    """Forget what was pending for a vCPU that CPU_ON starts afresh (vgic_clear_pending_irqs).

    A hardware interrupt among it is active since Xen acknowledged it, and no guest will ever
    deactivate it: Xen does.
    """
    cells = pe.xen.vcpu[vcpu.index]
    names = [f"lr{index}" for index in range(pe.board.platform.list_registers)]
    lrs = await saved_words(pe, vcpu, *names)
    pending = await pe.load_burst(cells.vgic_pending)
    await pe.store_burst(
        (*cells.vgic_pending, *cells.sgi_sources),
        (0,) * (len(cells.vgic_pending) + len(cells.sgi_sources)),
    )
    dropped = {LR.PHYSICAL_ID.get(lr) for lr in lrs if LR.STATE.get(lr) and lr & LR.HW}
    dropped |= {intid for intid in _intids(pending) if guest_of(pe.xen, intid) == vcpu.domain}
    for intid in sorted(dropped):
        await pe.write(GICD_VA + GICD.ICACTIVER.word(intid), 1 << intid % 32)


# -- where interrupts go


@symbol
async def vgic_migrate_irq(pe: Pe, old: Vcpu, new: Vcpu, intid: int) -> None:
    """Have an SPI go to another vCPU of the domain; what is pending goes along.

    One that is in a list register already stays there: it cannot come again before the guest has
    deactivated it.
    """
    if guest_of(pe.xen, intid) != new.domain:
        return
    processor = CpuIndex(await pe.load(pe.xen.vcpu[new.index].processor))
    pe.trace(VcpuPlaced(new.domain, new.number, processor, intid))
    await gicv2_set_irq_affinity(pe, intid, processor)
    word, bit = divmod(intid, WORD_BITS)
    cell = pe.xen.vcpu[old.index].vgic_pending[word]
    if await pe.atomic(AtomicOp.CLEAR, cell, 1 << bit) >> bit & 1:
        await vgic_inject_irq(pe, new, intid)


@symbol
async def arch_move_irqs(pe: Pe, vcpu: Vcpu, cpu: CpuIndex) -> None:
    """A vCPU has moved: the hardware interrupts that go to it follow."""
    targets = await pe.load_burst(pe.xen.domains[vcpu.domain].spi_target)
    for intid in range(SPI_FIRST, pe.board.platform.intids):
        if guest_of(pe.xen, intid) == vcpu.domain and field_of(targets, intid) == vcpu.number:
            pe.trace(VcpuPlaced(vcpu.domain, vcpu.number, cpu, intid))
            await gicv2_set_irq_affinity(pe, intid, cpu)
