"""Pausing against a scheduler that has just chosen, the context switch, and moving vCPUs away."""

import pytest
from xen_bench import Bench, board

from proto.el1 import word_index
from proto.gic import GICD
from proto.ids import CpuIndex
from proto.messages import StoreBurst
from proto.platform import GICD_BASE, RTC_SPI
from proto.traces import VcpuPlaced
from proto.turn import Send
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import vcpu_sleep_sync
from services.pcpu.xen.lists import members
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.sched import (
    cpu_disable_scheduler,
    sched_sleep,
    sched_wake,
    schedule,
    scheduler_enable,
    scheduler_init,
    vcpu_migrate,
)
from services.pcpu.xen.softirq import Softirq
from services.pcpu.xen.spinlock import spin_lock, spin_unlock
from services.pcpu.xen.state import SystemState
from services.pcpu.xen.timer import migrate_timers_from_cpu
from services.pcpu.xen.vtimer import vcpu_vtimer_init, virt_timer_expired


@pytest.mark.parametrize("seed", range(10))
def test_a_vcpu_that_was_just_chosen_is_waited_for(seed: int) -> None:
    """Its scheduler holds the lock and has not marked it running yet when it is paused."""
    order: list[str] = []

    async def pauser(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        await pe.store(pe.xen.vcpu[0].processor, 1)
        await pe.wfe(pe.xen.percpu[1].schedule_lock, 0)
        await pe.fetch_add(pe.xen.vcpu[0].pause_count, 1)
        await vcpu_sleep_sync(pe, vcpu)
        order.append("paused")

    async def scheduler(pe: Pe) -> None:
        percpu, cells = pe.xen.percpu[1], pe.xen.vcpu[0]
        await pe.delay(5_000)
        await spin_lock(pe, percpu.schedule_lock)
        await pe.delay(20_000)
        await pe.store_burst((cells.is_running, percpu.curr), (1, 1))
        await spin_unlock(pe, percpu.schedule_lock)
        while not await pe.load(percpu.softirq_pending) & 1 << Softirq.SCHEDULE:
            await pe.wfe(percpu.softirq_pending, 0)
        order.append("descheduled")
        await pe.store(cells.is_running, 0)

    Bench(pauser, scheduler, of=board(2), seed=seed)

    assert order == ["descheduled", "paused"]


def test_irqs_are_masked_from_the_choice_to_the_end_of_the_switch() -> None:
    """A handler must find either vCPU whole; afterwards IRQs are open again."""
    masked: list[bool] = []

    async def noted(pe: Pe, vcpu: Vcpu) -> None:
        masked.append(pe.irq_masked)

    async def program(pe: Pe) -> None:
        await pe.irq_enable()
        await sched_wake(pe, pe.xen.vcpus[0], pe.cpu)
        await schedule(pe)
        await pe.store(pe.xen.vcpu[0].pause_flags, 1)
        await schedule(pe)
        masked.append(pe.irq_masked)

    Bench(program, relinked={"ctxt_switch_from": noted, "ctxt_switch_to": noted})

    assert masked == [True, True, False]


def test_an_expired_virtual_timer_changes_one_word() -> None:
    """Whatever else of the saved state changes meanwhile is left alone."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        context = pe.xen.vcpu[0].context
        await pe.store_burst(context, range(len(context)))
        await virt_timer_expired(pe, 0)
        seen.extend(await pe.load_burst(context))

    bench = Bench(program)
    position = word_index("cntv_ctl", bench.board.platform.list_registers)

    assert seen[position] == position | 0b10
    assert [word for at, word in enumerate(seen) if at != position] == [
        at for at in range(len(seen)) if at != position
    ]
    bursts = [
        effect.body
        for turn in bench.turns
        for effect in turn.effects
        if isinstance(effect, Send) and isinstance(effect.body, StoreBurst)
    ]
    assert len([burst for burst in bursts if len(burst.addresses) == len(seen)]) == 1


@pytest.mark.parametrize(
    ("state", "processors"), [(SystemState.ACTIVE, [0, 0, 2]), (SystemState.SUSPEND, [0, 1, 1])]
)
def test_vcpus_leave_a_cpu_that_goes_but_not_during_suspend(
    state: SystemState, processors: list[int]
) -> None:
    """Over system suspend the CPU finds its vCPUs where they were; otherwise the load decides."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        cells = [vcpu.processor for vcpu in pe.xen.vcpu]
        await placed(pe, 0, 1, 1)
        await pe.store(pe.xen.system.system_state, state)
        await pe.store(pe.xen.vcpu[1].hard_affinity, 0b011)
        await cpu_disable_scheduler(pe, CpuIndex(1))
        seen.extend(await pe.load_burst(cells))

    bench = Bench(program, of=board(3, (1, 2)))
    moved = [(event.vcpu, event.cpu) for event in bench.traces(VcpuPlaced) if event.intid < 0]

    assert seen == processors
    assert moved == ([] if state is SystemState.SUSPEND else [(0, 0), (1, 2)])


async def placed(pe: Pe, *processors: int) -> None:
    """CPUs 0 to 2 are online, vCPUs may run anywhere and are on these."""
    await pe.store(pe.xen.system.cpu_online_map, 0b111)
    for cells, processor in zip(pe.xen.vcpu, processors, strict=True):
        await pe.store_burst((cells.processor, cells.hard_affinity), (processor, 0b111))


def test_an_affinity_that_nobody_can_serve_is_given_up() -> None:
    """The domain would stop otherwise; Xen says so."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await placed(pe, 1)
        await pe.store(pe.xen.vcpu[0].hard_affinity, 0b010)
        await cpu_disable_scheduler(pe, CpuIndex(1))
        cells = pe.xen.vcpu[0]
        seen.extend(await pe.load_burst((cells.processor, cells.hard_affinity)))

    bench = Bench(program, of=board(3))

    assert seen == [0, 0b111]
    assert "Breaking affinity for d0v0" in bench.uart.text


def test_a_vcpu_that_moves_takes_queue_place_interrupts_and_timer_along() -> None:
    """The new CPU is asked to schedule; the old one has nothing of it."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        await placed(pe, 1)
        await sched_wake(pe, pe.xen.vcpus[0], CpuIndex(1))
        await vcpu_vtimer_init(pe, pe.xen.vcpus[0], 1)
        await vcpu_migrate(pe, pe.xen.vcpus[0], CpuIndex(2))
        seen.append(await pe.load_burst([area.runq[0] for area in pe.xen.percpu]))
        seen.append(await pe.load(pe.xen.virt_timer[0].cpu))
        seen.append(await pe.load(pe.xen.percpu[2].softirq_pending))

    bench = Bench(program, of=board(3))

    assert seen == [(0, 0, 1), 2, 1 << Softirq.SCHEDULE]
    assert bench.gic.registers[GICD_BASE + GICD.ITARGETSR.byte(RTC_SPI)] == 1 << 2
    assert bench.traces(VcpuPlaced)[0] == VcpuPlaced(0, 0, 2)


def test_waking_queues_once_and_sleeping_takes_off() -> None:
    """The current vCPU is in no queue: it is asked to leave instead."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        percpu = pe.xen.percpu[0]
        first, second, third = pe.xen.vcpus
        for vcpu in (second, third, second):
            await sched_wake(pe, vcpu, pe.cpu)
        seen.append(members(await pe.load_burst(percpu.runq)))
        await sched_sleep(pe, second, pe.cpu)
        seen.append(members(await pe.load_burst(percpu.runq)))
        await pe.store_burst((percpu.curr, percpu.softirq_pending), (first.index + 1, 0))
        await sched_wake(pe, first, pe.cpu)
        seen.append(await pe.load(percpu.softirq_pending))
        await sched_sleep(pe, first, pe.cpu)
        seen.append(await pe.load(percpu.softirq_pending))

    Bench(program, of=board(1, (1, 2)))

    assert seen == [[1, 2], [2], 0, 1 << Softirq.SCHEDULE]


def test_those_that_wait_are_served_in_turn_but_not_while_a_tasklet_waits() -> None:
    """Who was preempted goes to the end; a time slice ends only when somebody waits."""
    order: list[object] = []

    async def switch(pe: Pe, vcpu: Vcpu) -> None:
        order.append(vcpu.index)

    async def leave(pe: Pe, vcpu: Vcpu) -> None:
        return

    async def program(pe: Pe) -> None:
        for vcpu in pe.xen.vcpus:
            await sched_wake(pe, vcpu, pe.cpu)
        for _ in range(4):
            await schedule(pe)
        order.append(await pe.load(pe.xen.s_timer[0].expires) > pe.now)
        await pe.store(pe.xen.percpu[0].tasklet_work, 1)
        await schedule(pe)
        order.append(pe.current)
        order.append(members(await pe.load_burst(pe.xen.percpu[0].runq)))
        order.append(await pe.load(pe.xen.s_timer[0].expires))

    Bench(
        program,
        of=board(1, (1, 2)),
        relinked={"ctxt_switch_to": switch, "ctxt_switch_from": leave},
    )

    assert order == [0, 1, 2, 0, True, None, [1, 2, 0], 0]


def test_timers_come_back_with_their_cpu_unless_nobody_thinks_of_it() -> None:
    """Bug timers-stay-on-cpu0: the time slice of CPU 1 ends on CPU 0."""
    for symbol, cpus in (("sched_move_timers", (1, 1, 0)), ("sched_move_timers_never", (0, 0, 0))):
        seen: list[tuple[int, ...]] = []

        async def program(pe: Pe, seen: list[tuple[int, ...]] = seen) -> None:
            await scheduler_init(pe)
            await placed(pe, 1, 0)
            timers = (pe.xen.s_timer[1], *pe.xen.virt_timer)
            await pe.store_burst([timer.cpu for timer in timers], [1, 1, 0])
            await migrate_timers_from_cpu(pe, CpuIndex(1))
            await pe.links["sched_move_timers"](pe, CpuIndex(1))
            seen.append(await pe.load_burst([timer.cpu for timer in timers]))

        Bench(program, of=board(3, (2,), sched_move_timers=symbol))

        assert seen == [cpus]


def test_affinity_restored_behind_the_scheduler_leaves_the_queue_where_it_was() -> None:
    """Bug affinity-restored-behind-scheduler: one CPU's vCPU waits in another one's queue."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        await placed(pe, 1)
        await sched_wake(pe, pe.xen.vcpus[0], CpuIndex(1))
        await scheduler_enable(pe)
        seen.append(await pe.load(pe.xen.vcpu[0].processor))
        seen.append(await pe.load_burst([area.runq[0] for area in pe.xen.percpu]))

    Bench(program, of=board(3, scheduler_enable="scheduler_enable_and_restore_affinity"))

    assert seen == [0, (0, 1, 0)]
