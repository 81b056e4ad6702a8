"""Xen's timers: the earliest deadline of this CPU is in the hardware, expired ones run once."""

from xen_bench import Bench, board

from proto.gic import PPI_HYP_TIMER
from proto.ids import CpuIndex
from proto.units import MS
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.softirq import Softirq
from services.pcpu.xen.timer import (
    migrate_timers_from_cpu,
    reprogram_timer,
    set_s_timer,
    set_vcpu_timer,
    stop_vcpu_timer,
    timer_softirq_action,
)


def edges(bench: Bench) -> list[int]:
    """Board times, in ms, at which the timer line rose."""
    return [
        turn.now // MS
        for turn in bench.turns
        for effect in turn.effects
        if getattr(getattr(effect, "body", None), "intid", 0) == PPI_HYP_TIMER and effect.body.level  # type: ignore[union-attr]
    ]


def test_the_earliest_deadline_is_programmed() -> None:
    """Of the timers of this CPU only; a stopped one does not count."""

    async def program(pe: Pe) -> None:
        base = pe.now // MS * MS
        await set_vcpu_timer(pe, 0, base + 30 * MS)
        await set_vcpu_timer(pe, 1, base + 10 * MS)
        await set_vcpu_timer(pe, 2, base + 20 * MS)
        await pe.store(pe.xen.vcpu[1].timer_cpu, 3)
        await stop_vcpu_timer(pe, 2)
        await reprogram_timer(pe)

    assert edges(Bench(program, of=board(1, (1, 2)))) == [30]


def test_without_deadlines_the_hardware_is_off() -> None:
    """Stopping the last timer silences the comparator."""

    async def program(pe: Pe) -> None:
        await set_s_timer(pe, pe.now + 5 * MS)
        await set_s_timer(pe, 0)

    assert edges(Bench(program)) == []


def test_expired_timers_run_once_each() -> None:
    """Those of this CPU whose time has come, and the time slice asks the scheduler."""
    expired: list[int] = []
    left: list[int] = []

    async def virt_timer_expired(pe: Pe, vcpu: Vcpu) -> None:
        expired.append(vcpu.index)

    async def program(pe: Pe) -> None:
        await set_vcpu_timer(pe, 0, pe.now)
        await set_vcpu_timer(pe, 1, pe.now + 100 * MS)
        await set_vcpu_timer(pe, 2, pe.now)
        await pe.store(pe.xen.vcpu[2].timer_cpu, 1)
        await set_s_timer(pe, pe.now)
        await timer_softirq_action(pe)
        await timer_softirq_action(pe)
        left.append(await pe.load(pe.xen.percpu[0].softirq_pending))
        left.append(await pe.load(pe.xen.vcpu[0].timer_deadline))

    Bench(program, of=board(1, (1, 2)), relinked={"virt_timer_expired": virt_timer_expired})

    assert expired == [0]
    assert left == [1 << Softirq.SCHEDULE, 0]


def test_a_dead_cpus_timers_move_here() -> None:
    """None is lost, and the softirq looks at once."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await pe.store_burst([cells.timer_cpu for cells in pe.xen.vcpu], [1] * len(pe.xen.vcpu))
        await migrate_timers_from_cpu(pe, CpuIndex(1))
        seen.extend(await pe.load_burst([cells.timer_cpu for cells in pe.xen.vcpu]))
        seen.append(await pe.load(pe.xen.percpu[0].softirq_pending))

    Bench(program, of=board(2, (1, 2)))

    assert seen == [0, 0, 0, 1 << Softirq.TIMER]
