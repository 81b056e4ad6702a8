"""Pausing against a scheduler that has just chosen, the context switch, and moving vCPUs away."""

import pytest
from xen_bench import Bench, board

from proto.el1 import word_index
from proto.ids import CpuIndex
from proto.messages import StoreBurst
from proto.turn import Send
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import vcpu_sleep_sync
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.sched import cpu_disable_scheduler, runqueue, schedule
from services.pcpu.xen.softirq import Softirq
from services.pcpu.xen.spinlock import spin_lock, spin_unlock
from services.pcpu.xen.state import SystemState
from services.pcpu.xen.vtimer import virt_timer_expired


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
        await pe.store(cells.is_running, 1)
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
    ("state", "processors"), [(SystemState.ACTIVE, [0, 0, 0]), (SystemState.SUSPEND, [0, 1, 1])]
)
def test_vcpus_leave_a_cpu_that_goes_but_not_during_suspend(
    state: SystemState, processors: list[int]
) -> None:
    """Over system suspend the CPU finds its vCPUs where they were."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        cells = [vcpu.processor for vcpu in pe.xen.vcpu]
        await pe.store(pe.xen.system.system_state, state)
        await pe.store_burst(cells, [0, 1, 1])
        await cpu_disable_scheduler(pe, CpuIndex(1))
        seen.extend(await pe.load_burst(cells))

    Bench(program, of=board(2, (1, 2)))

    assert seen == processors


@pytest.mark.parametrize(
    ("cell", "runnable"),
    [("pause_flags", [0, 2]), ("pause_count", [0, 2]), ("processor", [0, 2]), ("", [0, 1, 2])],
)
def test_the_run_queue_is_what_nothing_keeps_from_running(cell: str, runnable: list[int]) -> None:
    """On this CPU, not blocked, not down, not paused; and nobody while a tasklet waits."""
    seen: list[list[int]] = []

    async def program(pe: Pe) -> None:
        if cell:
            await pe.store(getattr(pe.xen.vcpu[1], cell), 1)
        seen.append([vcpu.index for vcpu in (await runqueue(pe))[0]])
        await pe.store(pe.xen.percpu[0].tasklet_work, 1)
        seen.append([vcpu.index for vcpu in (await runqueue(pe))[0]])

    Bench(program, of=board(1, (1, 2)))

    assert seen == [runnable, []]
