"""A plain run queue per CPU, and the context switch (xen/common/sched/core.c)."""

from msgspec.structs import replace

from proto.gic import SPI_FIRST
from proto.ids import BOOT_CPU, CpuIndex
from proto.image import symbol
from proto.units import MS
from services.pcpu.pe import Pe
from services.pcpu.xen.context import context_to_run, save_context
from services.pcpu.xen.domain import vcpu_schedule_lock, vcpu_wake
from services.pcpu.xen.gic_v2 import gicv2_set_irq_affinity
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq, raise_softirq
from services.pcpu.xen.spinlock import spin_lock, spin_unlock, spin_unlock_irqrestore
from services.pcpu.xen.state import SystemState
from services.pcpu.xen.timer import INACTIVE, init_timer, set_timer, stop_timer
from services.pcpu.xen.vgic import guest_of
from services.pcpu.xen.vtimer import virt_timer_restore, virt_timer_save

TIME_SLICE_NS = 10 * MS


@symbol
async def scheduler_init(pe: Pe) -> None:
    """Make the timers that end the CPUs' time slices."""
    for cpu in pe.board.platform.cpus:
        await init_timer(pe, pe.xen.s_timer[cpu], "s_timer_fn", cpu, cpu)


@symbol
async def s_timer_fn(pe: Pe, cpu: int) -> None:
    """The time slice of this CPU has ended; on which CPU the timer was set does not matter."""
    await raise_softirq(pe, Softirq.SCHEDULE)


@symbol
async def schedule(pe: Pe) -> None:
    """Choose what runs next on this CPU and switch to it (SCHEDULE_SOFTIRQ).

    IRQs are masked from the choice to the end of the switch: handlers take the schedule lock, and
    must find either vCPU whole.
    """
    percpu = pe.xen.percpu[pe.cpu]
    await pe.irq_disable()
    await spin_lock(pe, percpu.schedule_lock)
    runnable, slice_ends = await runqueue(pe)
    following = _next_in_turn(runnable, pe.current)
    previous = pe.current
    if following is not previous:
        await pe.store(percpu.curr, following.index + 1 if following else 0)
        if following is not None:
            cells = pe.xen.vcpu[following.index]
            await pe.store_burst((cells.is_running, cells.running_since_ns), (1, pe.now))
    await spin_unlock(pe, percpu.schedule_lock)
    s_timer = pe.xen.s_timer[pe.cpu]
    if len(runnable) > 1:
        await set_timer(pe, s_timer, pe.now + TIME_SLICE_NS)
    elif slice_ends != INACTIVE:
        await stop_timer(pe, s_timer)
    if following is not previous:
        await context_switch(pe, previous, following)
    await pe.irq_enable()


@symbol
async def runqueue(pe: Pe) -> tuple[list[Vcpu], int]:
    """The vCPUs that can run on this CPU, and when its time slice ends (0: it does not).

    None can while a tasklet waits for the idle vCPU.
    """
    percpu = pe.xen.percpu[pe.cpu]
    cells = [percpu.tasklet_work, pe.xen.system.scheduler_disabled, pe.xen.s_timer[pe.cpu].expires]
    for vcpu in pe.xen.vcpus:
        own = pe.xen.vcpu[vcpu.index]
        domain = pe.xen.domains[vcpu.domain]
        cells += [own.processor, own.pause_flags, own.pause_count, domain.pause_count]
    values = await pe.load_burst(cells)
    idle_only, disabled, slice_ends = values[:3]
    if idle_only or disabled:
        return [], slice_ends
    rows = [values[at : at + 4] for at in range(3, len(values), 4)]
    runnable = [
        vcpu
        for vcpu, (processor, *reasons) in zip(pe.xen.vcpus, rows, strict=True)
        if processor == pe.cpu and not any(reasons)
    ]
    return runnable, slice_ends


def _next_in_turn(runnable: list[Vcpu], current: Vcpu | None) -> Vcpu | None:
    """Round robin: the first vCPU behind the current one, else the first of all."""
    behind = -1 if current is None else current.index
    for vcpu in runnable:
        if vcpu.index > behind:
            return vcpu
    return runnable[0] if runnable else None


@symbol
async def context_switch(pe: Pe, previous: Vcpu | None, following: Vcpu | None) -> None:
    """Save one vCPU, then load the other; None is the idle vCPU."""
    if previous is not None:
        await ctxt_switch_from(pe, previous)
    pe.current = following
    if following is not None:
        await ctxt_switch_to(pe, following)


@symbol
async def ctxt_switch_from(pe: Pe, vcpu: Vcpu) -> None:
    """Save EL1, list registers and virtual timer; only then is the vCPU not running."""
    state = await pe.vcpu_put()
    if pe.result is not None:
        state = replace(state, x=(pe.result, *state.x[1:]))
        pe.result = None
    await save_context(pe, vcpu, state, pe.generation)
    await virt_timer_save(pe, vcpu, state)
    cells = pe.xen.vcpu[vcpu.index]
    since_ns, before_ns = await pe.load_burst((cells.running_since_ns, cells.runtime_ns))
    runtime_ns = before_ns + pe.now - since_ns
    await pe.store_burst((cells.runtime_ns, cells.is_running), (runtime_ns, 0))


@symbol
async def ctxt_switch_to(pe: Pe, vcpu: Vcpu) -> None:
    """Load EL1, list registers and virtual timer."""
    await virt_timer_restore(pe, vcpu)
    state, generation = await context_to_run(pe, vcpu)
    await pe.vcpu_load(vcpu, state, generation)


@symbol
async def scheduler_disable(pe: Pe) -> int:
    """From now on only tasklets run (S2)."""
    await pe.store(pe.xen.system.scheduler_disabled, 1)
    return 0


@symbol
async def scheduler_enable(pe: Pe) -> None:
    """Let vCPUs run again, on every CPU that is online (R8)."""
    await pe.store(pe.xen.system.scheduler_disabled, 0)
    online = await pe.load(pe.xen.system.cpu_online_map)
    for cpu in pe.board.platform.cpus:
        if online >> cpu & 1:
            await cpu_raise_softirq(pe, cpu, Softirq.SCHEDULE)


@symbol
async def sched_move_timers(pe: Pe, cpu: CpuIndex) -> int:
    """Give a CPU that has come up the timers that belong to it (CPU_ONLINE; 37f82facd6).

    Its time slice, and those of the vCPUs it still has after a suspend: all moved when it died.
    """
    owners = await pe.load_burst([vcpu.processor for vcpu in pe.xen.vcpu])
    own = [pe.xen.s_timer[cpu]]
    own += [pe.xen.virt_timer[index] for index, owner in enumerate(owners) if owner == cpu]
    await pe.store_burst([timer.cpu for timer in own], [cpu] * len(own))
    if any(await pe.load_burst([timer.expires for timer in own])):
        await cpu_raise_softirq(pe, cpu, Softirq.TIMER)
    return 0


@symbol
async def sched_move_timers_never(pe: Pe, cpu: CpuIndex) -> int:
    """Before 37f82facd6 (2022) they stay where they went."""
    return 0


@symbol
async def cpu_disable_scheduler(pe: Pe, cpu: CpuIndex) -> int:
    """Move the vCPUs of a CPU that goes, and their interrupts, to the boot CPU (CPU_DYING).

    Not during system suspend: the CPU is meant to come back, and finds its vCPUs where they were.
    One that does not come back loses them then (CPU_RESUME_FAILED).
    """
    if await pe.load(pe.xen.system.system_state) == SystemState.SUSPEND:
        return 0
    owners = await pe.load_burst([vcpu.processor for vcpu in pe.xen.vcpu])
    for vcpu, owner in zip(pe.xen.vcpus, owners, strict=True):
        if owner != cpu:
            continue
        _, masked = await vcpu_schedule_lock(pe, vcpu)
        await pe.store(pe.xen.vcpu[vcpu.index].processor, BOOT_CPU)
        await spin_unlock_irqrestore(pe, pe.xen.percpu[cpu].schedule_lock, masked)
        if vcpu.number == 0:
            for intid in range(SPI_FIRST, pe.board.platform.intids):
                if guest_of(pe.xen, intid) == vcpu.domain:
                    await gicv2_set_irq_affinity(pe, intid, BOOT_CPU)
        await vcpu_wake(pe, vcpu)
    return 0
