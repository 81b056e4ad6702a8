"""The virtual GIC: what goes into list registers, what stays pending, what a write enables."""

from xen_bench import Bench, board

from proto.gic import GICD, LR, SGIR
from proto.platform import GICD_BASE, RTC_SPI, TTY_SPI
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import VPF_DOWN
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.vgic import (
    guest_of,
    local_events_need_delivery,
    vgic_inject_irq,
    vgic_sync_to_lrs,
    vgic_v2_distr_mmio,
)

TIMER = 27


async def enabled(pe: Pe, vcpu: Vcpu, *intids: int) -> None:
    """Mark interrupts enabled and pending."""
    cells = pe.xen.vcpu[vcpu.index]
    bits = sum(1 << intid for intid in intids)
    await pe.store(cells.vgic_pending[0], bits)
    await pe.store(cells.vgic_enabled[0], bits)


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
        await pe.store(pe.xen.vcpu[0].vgic_enabled[0], 1 << TIMER)
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


def test_the_guests_distributor() -> None:
    """Enabling the guest's own SPI routes and enables the hardware's; another's does not."""
    answers: list[int | None] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[1]

        async def access(offset: int, write: int | None = None) -> None:
            answers.append(
                await vgic_v2_distr_mmio(
                    pe, vcpu, GICD_BASE + offset, write is not None, write or 0
                )
            )

        own, foreign = TTY_SPI + 1, TTY_SPI
        await access(GICD.ISENABLER.word(own), 1 << own % 32 | 1 << foreign % 32)
        await access(GICD.ISENABLER.word(own))
        await access(GICD.ICENABLER.word(own), 1 << own % 32)
        await access(GICD.ISENABLER.word(own))
        await access(GICD.TYPER.offset)
        await access(0xFFC)

    bench = Bench(program, of=board(1, (1, 2)))
    enables = GICD_BASE + GICD.ISENABLER.word(TTY_SPI)
    disables = GICD_BASE + GICD.ICENABLER.word(TTY_SPI)
    bit = 1 << (TTY_SPI + 1) % 32

    assert answers == [0, bit | bit >> 1, 0, bit >> 1, 1 << 5 | 2, None]
    assert [v for _, kind, at, v in bench.gic.log if (kind, at) == ("write", enables)] == [bit]
    assert [v for _, kind, at, v in bench.gic.log if (kind, at) == ("write", disables)] == [bit]


def test_sgis_reach_the_siblings_they_name() -> None:
    """By list, by all but self, and self."""
    pending: list[list[int]] = []

    async def program(pe: Pe) -> None:
        pe.current = pe.xen.vcpus[0]
        for word in (SGIR.TARGETS.put(0b110), SGIR.TARGET_FILTER.put(1), SGIR.TARGET_FILTER.put(2)):
            await vgic_v2_distr_mmio(
                pe, pe.current, GICD_BASE + GICD.SGIR.offset, True, word | SGIR.INTID.put(5)
            )
            cells = [cell.vgic_pending[0] for cell in pe.xen.vcpu]
            pending.append([value >> 5 for value in await pe.load_burst(cells)])
            await pe.store_burst(cells, [0] * len(cells))

    Bench(program, of=board(1, (3,)))

    assert pending == [[0, 1, 1], [0, 1, 1], [1, 0, 0]]


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
