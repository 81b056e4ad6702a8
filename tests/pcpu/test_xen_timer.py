"""Xen's timers: the earliest deadline of this CPU is in the hardware, each expires just once."""

import pytest
from xen_bench import Bench, board

from proto.gic import PPI_HYP_TIMER
from proto.ids import CpuIndex
from proto.units import MS
from services.pcpu.pe import Pe
from services.pcpu.xen.sched import scheduler_init
from services.pcpu.xen.softirq import Softirq
from services.pcpu.xen.timer import (
    INACTIVE,
    TIMER_CPU_KILLED,
    init_timer,
    kill_timer,
    migrate_timer,
    migrate_timers_from_cpu,
    reprogram_timer,
    set_timer,
    stop_timer,
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


async def make(pe: Pe, *cpus: int) -> None:
    """One timer for each vCPU, on these CPUs."""
    for index, cpu in enumerate(cpus):
        await init_timer(pe, pe.xen.virt_timer[index], "virt_timer_expired", index, cpu)


def test_the_earliest_deadline_is_programmed() -> None:
    """Of the timers of this CPU only; a stopped one does not count."""

    async def program(pe: Pe) -> None:
        base = pe.now // MS * MS
        await make(pe, 0, 3, 0)
        await set_timer(pe, pe.xen.virt_timer[0], base + 30 * MS)
        await pe.store(pe.xen.virt_timer[1].expires, base + 10 * MS)
        await set_timer(pe, pe.xen.virt_timer[2], base + 20 * MS)
        await stop_vcpu_timer(pe, 2)
        await reprogram_timer(pe)

    assert edges(Bench(program, of=board(1, (1, 2)))) == [30]


def test_without_deadlines_the_hardware_is_off() -> None:
    """Stopping the last timer silences the comparator."""

    async def program(pe: Pe) -> None:
        await scheduler_init(pe)
        await set_timer(pe, pe.xen.s_timer[0], pe.now + 5 * MS)
        await stop_timer(pe, pe.xen.s_timer[0])
        await reprogram_timer(pe)

    assert edges(Bench(program)) == []


def test_expired_timers_run_once_each_earliest_first() -> None:
    """Those of this CPU whose time has come, and the time slice asks the scheduler."""
    expired: list[int] = []
    left: list[int] = []

    async def virt_timer_expired(pe: Pe, index: int) -> None:
        expired.append(index)

    async def program(pe: Pe) -> None:
        await scheduler_init(pe)
        await make(pe, 0, 0, 1, 0)
        now = pe.now
        for index, ahead in ((0, -1), (1, 100 * MS), (2, 0), (3, -2)):
            await pe.store(pe.xen.virt_timer[index].expires, now + ahead)
        await pe.store(pe.xen.s_timer[0].expires, pe.now)
        await timer_softirq_action(pe)
        await timer_softirq_action(pe)
        left.append(await pe.load(pe.xen.percpu[0].softirq_pending))
        left.append(await pe.load(pe.xen.virt_timer[0].expires))

    Bench(program, of=board(1, (1, 3)), relinked={"virt_timer_expired": virt_timer_expired})

    assert expired == [3, 0]
    assert left == [1 << Softirq.SCHEDULE, INACTIVE]


def test_a_timer_of_another_cpu_is_that_cpus_business() -> None:
    """Setting it leaves this CPU's hardware alone and raises the softirq there."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await make(pe, 1)
        await set_timer(pe, pe.xen.virt_timer[0], pe.now + MS)
        seen.extend(await pe.load_burst([area.softirq_pending for area in pe.xen.percpu]))

    bench = Bench(program, of=board(2))

    assert seen == [0, 1 << Softirq.TIMER]
    assert edges(bench) == []


def test_a_killed_timer_never_runs_again() -> None:
    """Setting it has no effect, nor has moving it."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        timer = pe.xen.virt_timer[0]
        await make(pe, 0)
        await kill_timer(pe, timer)
        await set_timer(pe, timer, pe.now)
        await migrate_timer(pe, timer, CpuIndex(0))
        await timer_softirq_action(pe)
        seen.append(await pe.load(timer.cpu))

    bench = Bench(program)

    assert seen == [TIMER_CPU_KILLED]
    assert edges(bench) == []


@pytest.mark.parametrize("seed", range(5))
def test_killing_a_timer_waits_for_its_function(seed: int) -> None:
    """It may be running on another CPU; afterwards its data may be thrown away."""
    order: list[str] = []

    async def virt_timer_expired(pe: Pe, index: int) -> None:
        order.append("begin")
        await pe.delay(50_000)
        order.append("end")

    async def killer(pe: Pe) -> None:
        await pe.wfe(pe.xen.percpu[1].timer_running, 0)
        await kill_timer(pe, pe.xen.virt_timer[0])
        order.append("killed")

    async def runner(pe: Pe) -> None:
        await make(pe, 1)
        await pe.store(pe.xen.virt_timer[0].expires, pe.now)
        await timer_softirq_action(pe)

    Bench(
        killer,
        runner,
        of=board(2),
        seed=seed,
        relinked={"virt_timer_expired": virt_timer_expired},
    )

    assert order in (["begin", "end", "killed"], ["killed"])


@pytest.mark.parametrize("seed", range(5))
def test_a_timer_that_moves_while_it_expires_runs_once(seed: int) -> None:
    """Whichever of the two CPUs takes its deadline runs it."""
    expired: list[int] = []

    async def virt_timer_expired(pe: Pe, index: int) -> None:
        expired.append(pe.cpu)

    async def mover(pe: Pe) -> None:
        await make(pe, 1)
        await pe.store(pe.xen.virt_timer[0].expires, pe.now)
        await migrate_timer(pe, pe.xen.virt_timer[0], pe.cpu)
        await timer_softirq_action(pe)

    async def other(pe: Pe) -> None:
        await pe.wfe(pe.xen.virt_timer[0].expires, 0)
        await timer_softirq_action(pe)

    Bench(mover, other, of=board(2), seed=seed, relinked={"virt_timer_expired": virt_timer_expired})

    assert len(expired) == 1


def test_a_dead_cpus_timers_move_here() -> None:
    """None is lost, and the softirq looks at once."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await scheduler_init(pe)
        await make(pe, 1, 1, 1)
        await migrate_timers_from_cpu(pe, CpuIndex(1))
        seen.extend(await pe.load_burst([timer.cpu for timer in pe.xen.timers]))
        seen.append(await pe.load(pe.xen.percpu[0].softirq_pending))

    Bench(program, of=board(2, (1, 2)))

    *owners, pending = seen
    assert set(owners) == {0}
    assert pending == 1 << Softirq.TIMER
