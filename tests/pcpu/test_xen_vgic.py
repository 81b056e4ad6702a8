"""The virtual GIC: what goes into list registers, what stays pending, what a write enables."""

from xen_bench import Bench, board

from proto.el1 import word_index
from proto.gic import GICD, LR
from proto.ids import CpuIndex, DomainId
from proto.platform import GICD_BASE, RTC_SPI, TTY_SPI
from proto.traces import VcpuPlaced
from services.pcpu.pe import HCR_EN, HCR_UIE, Pe
from services.pcpu.xen.domain import VPF_DOWN
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.vgic import (
    arch_move_irqs,
    guest_of,
    local_events_need_delivery,
    vgic_clear_pending,
    vgic_get_target_vcpu,
    vgic_inject_irq,
    vgic_inject_sgi,
    vgic_migrate_irq,
    vgic_sync_from_lrs,
    vgic_sync_to_lrs,
)

TIMER = 27
LRS = 4
VMCR = word_index("vmcr", LRS)
APR = word_index("apr", LRS)


async def enabled(pe: Pe, vcpu: Vcpu, *intids: int) -> None:
    """Mark interrupts enabled and pending."""
    cells = pe.xen.vcpu[vcpu.index]
    bits = sum(1 << intid for intid in intids)
    await pe.store(cells.vgic_pending[0], bits)
    await pe.store(cells.vgic_enabled, bits)
    await pe.store(pe.xen.domains[vcpu.domain].spi_enabled[0], bits)


def entries(lrs: tuple[int, ...]) -> list[tuple[int, int, bool]]:
    """Virtual id, state and HW of each list register in use."""
    return [
        (LR.VIRTUAL_ID.get(lr), LR.STATE.get(lr), bool(lr & LR.HW))
        for lr in lrs
        if LR.STATE.get(lr)
    ]


def test_pending_interrupts_fill_the_list_registers() -> None:
    """The lowest first; what finds no room stays pending; a guest's SPI is tied to the hardware."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        pe.lrs = (0, 0)
        await enabled(pe, vcpu, 3, TIMER, TTY_SPI)
        await vgic_sync_to_lrs(pe, vcpu)
        seen.append(entries(pe.lrs))
        seen.append(await pe.load(pe.xen.vcpu[0].vgic_pending[0]) == 1 << TTY_SPI)
        pe.lrs = (0, pe.lrs[1])
        await vgic_sync_to_lrs(pe, vcpu)
        seen.append(entries(pe.lrs))

    Bench(program)

    assert seen == [
        [(3, LR.PENDING, False), (TIMER, LR.PENDING, False)],
        True,
        [(TTY_SPI, LR.PENDING, True), (TIMER, LR.PENDING, False)],
    ]


def test_the_spi_of_another_domain_is_not_tied_to_the_hardware() -> None:
    """A guest may make any SPI pending for itself, and deactivates nobody else's with it."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        pe.lrs = (0, 0)
        await enabled(pe, vcpu, TTY_SPI, TTY_SPI + 1)
        await vgic_sync_to_lrs(pe, vcpu)
        seen.append(entries(pe.lrs))
        await enabled(pe, vcpu, TTY_SPI + 1)
        await vgic_clear_pending(pe, vcpu)

    bench = Bench(program, of=board(1, (1, 1)))

    assert seen == [[(TTY_SPI, LR.PENDING, True), (TTY_SPI + 1, LR.PENDING, False)]]
    assert [entry for entry in bench.gic.log if entry[1] == "write"] == []


def test_one_that_the_guest_still_handles_becomes_active_and_pending() -> None:
    """Not a second entry for the same interrupt."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        active = LR.VIRTUAL_ID.put(TIMER) | LR.STATE.put(LR.ACTIVE)
        pe.lrs = (active, 0)
        await enabled(pe, pe.xen.vcpus[0], TIMER)
        await vgic_sync_to_lrs(pe, pe.xen.vcpus[0])
        seen.append(entries(pe.lrs))

    Bench(program)

    assert seen == [[(TIMER, LR.PENDING | LR.ACTIVE, False)]]


def test_a_disabled_interrupt_stays_pending() -> None:
    """It is no event, and it is not lost."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        pe.lrs = (0,)
        await pe.store(pe.xen.vcpu[0].vgic_pending[0], 1 << TIMER)
        await vgic_sync_to_lrs(pe, vcpu)
        seen.append(entries(pe.lrs))
        seen.append(await local_events_need_delivery(pe, vcpu))
        await pe.store(pe.xen.vcpu[0].vgic_enabled, 1 << TIMER)
        await pe.store(pe.xen.vcpu[0].context[VMCR], 0xF800_0000)
        seen.append(await local_events_need_delivery(pe, vcpu))

    Bench(program)

    assert seen == [[], False, True]


def test_a_vcpu_that_is_down_gets_nothing() -> None:
    """CPU_ON starts it with nothing pending."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        await pe.store(pe.xen.vcpu[0].pause_flags, VPF_DOWN)
        await vgic_inject_irq(pe, vcpu, TIMER)
        await pe.store(pe.xen.vcpu[0].pause_flags, 0)
        seen.append(await pe.load(pe.xen.vcpu[0].vgic_pending[0]))
        await vgic_inject_irq(pe, vcpu, TIMER)
        seen.append(await pe.load(pe.xen.vcpu[0].vgic_pending[0]))

    Bench(program)

    assert seen == [0, 1 << TIMER]


def test_spis_belong_to_the_domain_of_their_device() -> None:
    """The RTC to the hardware domain, each port to its own; Xen's own to nobody."""
    owners: dict[int, object] = {}

    async def program(pe: Pe) -> None:
        for intid in (RTC_SPI, TTY_SPI, TTY_SPI + 1, TTY_SPI + 2, 33, 36, TIMER):
            owners[intid] = guest_of(pe.xen, intid)

    Bench(program, of=board(1, (1, 1)))

    assert owners == {
        RTC_SPI: 0,
        TTY_SPI: 0,
        TTY_SPI + 1: 1,
        TTY_SPI + 2: None,
        33: None,
        36: None,
        TIMER: None,
    }


async def priorities(pe: Pe, vcpu: Vcpu, **bytes_: int) -> None:
    """Give private interrupts priorities: i27=0x80."""
    words = [0] * 4
    for name, priority in bytes_.items():
        intid = int(name[1:])
        words[intid // 8] |= priority << intid % 8 * 8
    await pe.store_burst(pe.xen.vcpu[vcpu.index].private_priority, words)


def test_the_most_urgent_come_first_and_a_less_urgent_one_gives_way() -> None:
    """What the guest has taken already stays; what gave way is pending again; UIE until then."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        await priorities(pe, vcpu, i20=0xA0, i21=0x40, i22=0x80, i27=0x20)
        pe.lrs = (0, 0)
        await enabled(pe, vcpu, 20, 21, 22)
        await vgic_sync_to_lrs(pe, vcpu)
        seen.append([LR.VIRTUAL_ID.get(lr) for lr in pe.lrs])
        seen.append(pe.hcr == HCR_EN | HCR_UIE)
        taken = pe.lrs[0] & ~LR.STATE.mask | LR.STATE.put(LR.ACTIVE)
        pe.lrs = (taken, pe.lrs[1])
        await vgic_sync_from_lrs(pe)
        seen.append(pe.hcr == HCR_EN)
        await enabled(pe, vcpu, 20, 27)
        await vgic_sync_to_lrs(pe, vcpu)
        seen.append([LR.VIRTUAL_ID.get(lr) for lr in pe.lrs])
        seen.append([LR.PRIORITY.get(lr) << 3 for lr in pe.lrs])
        seen.append(await pe.load(pe.xen.vcpu[0].vgic_pending[0]) == 1 << 20 | 1 << 22)
        seen.append(pe.hcr == HCR_EN | HCR_UIE)

    Bench(program)

    assert seen == [[21, 22], True, True, [21, 27], [0x40, 0x20], True, True]


def test_an_sgi_from_two_sources_is_two_interrupts() -> None:
    """Each in a list register of its own, with its source."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        first, second, third = pe.xen.vcpus
        pe.current = first
        pe.lrs = (0, 0, 0)
        await enabled(pe, first, 5)
        await pe.store(pe.xen.vcpu[0].vgic_pending[0], 0)
        for source in (third, second, third):
            await vgic_inject_sgi(pe, first, 5, source)
        await vgic_sync_to_lrs(pe, first)
        seen.append([(LR.VIRTUAL_ID.get(lr), LR.CPUID.get(lr)) for lr in pe.lrs])
        cells = (pe.xen.vcpu[0].vgic_pending[0], *pe.xen.vcpu[0].sgi_sources)
        seen.append(await pe.load_burst(cells))

    Bench(program, of=board(1, (3,)))

    assert seen == [[(5, 1), (5, 2), (0, 0)], (0, 0, 0)]


def test_an_sgi_that_finds_no_room_keeps_its_source() -> None:
    """It is still pending, from that vCPU only."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        first, second, third = pe.xen.vcpus
        pe.lrs = (0,)
        await pe.store(pe.xen.vcpu[0].vgic_enabled, 1 << 5)
        for source in (second, third):
            await vgic_inject_sgi(pe, first, 5, source)
        await vgic_sync_to_lrs(pe, first)
        cells = (pe.xen.vcpu[0].vgic_pending[0], *pe.xen.vcpu[0].sgi_sources)
        seen.append(await pe.load_burst(cells))

    Bench(program, of=board(1, (3,)))

    assert seen == [(1 << 5, 1 << 2 + 5 * 8, 0)]


def test_the_guests_mask_and_running_priority_decide_whether_it_wakes() -> None:
    """GICH_VMCR and GICH_APR, as gic_events_need_delivery reads them."""
    seen: list[bool] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        cells = pe.xen.vcpu[0]
        await priorities(pe, vcpu, i27=0x80)
        await enabled(pe, vcpu, TIMER)
        for mask, apr in ((0xF8, 0), (0x80, 0), (0x88, 0), (0xF8, 1 << 16), (0xF8, 1 << 17)):
            await pe.store_burst((cells.context[VMCR], cells.context[APR]), (mask << 24, apr))
            seen.append(await local_events_need_delivery(pe, vcpu))

    Bench(program)

    assert seen == [True, False, True, False, True]


def test_a_fresh_start_deactivates_what_the_old_one_held() -> None:
    """In list registers or still pending: nobody else ever would."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        held = LR.HW | LR.STATE.put(LR.ACTIVE) | LR.PHYSICAL_ID.put(RTC_SPI)
        await pe.store(pe.xen.vcpu[0].context[word_index("lr1", LRS)], held)
        await enabled(pe, vcpu, TTY_SPI, TIMER)
        await vgic_clear_pending(pe, vcpu)
        seen.extend(await pe.load_burst(pe.xen.vcpu[0].vgic_pending))

    bench = Bench(program)
    address = GICD_BASE + GICD.ICACTIVER.word(RTC_SPI)

    assert not any(seen)
    assert [(at, value) for _, kind, at, value in bench.gic.log if kind == "write"] == [
        (address, 1 << RTC_SPI - 32),
        (address, 1 << TTY_SPI - 32),
    ]


def test_an_spi_moves_to_its_new_target_with_what_is_pending() -> None:
    """The hardware's routing follows, and the judge is told."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        old, new = pe.xen.vcpus
        pe.current = new
        await pe.store(pe.xen.vcpu[1].processor, 2)
        await pe.store(pe.xen.vcpu[0].vgic_pending[0], 1 << TTY_SPI)
        await vgic_migrate_irq(pe, old, new, TTY_SPI)
        cells = [cells.vgic_pending[0] for cells in pe.xen.vcpu]
        seen.extend(await pe.load_burst(cells))

    bench = Bench(program, of=board(4, (2,)))

    assert seen == [0, 1 << TTY_SPI]
    assert bench.traces(VcpuPlaced) == [VcpuPlaced(0, 1, 2, TTY_SPI)]
    assert bench.gic.registers[GICD_BASE + GICD.ITARGETSR.byte(TTY_SPI)] == 1 << 2


def test_the_interrupts_of_a_vcpu_follow_it() -> None:
    """Those that go to it, not those of its siblings."""

    async def program(pe: Pe) -> None:
        word, at = divmod(RTC_SPI, 8)
        await pe.store(pe.xen.domains[DomainId(0)].spi_target[word], 1 << at * 8)
        assert await vgic_get_target_vcpu(pe, DomainId(0), RTC_SPI) is pe.xen.vcpus[1]
        await arch_move_irqs(pe, pe.xen.vcpus[0], CpuIndex(3))
        await arch_move_irqs(pe, pe.xen.vcpus[1], CpuIndex(2))

    bench = Bench(program, of=board(4, (2,)))

    assert bench.gic.registers == {
        GICD_BASE + GICD.ITARGETSR.byte(TTY_SPI): 1 << 3,
        GICD_BASE + GICD.ITARGETSR.byte(RTC_SPI): 1 << 2,
    }
