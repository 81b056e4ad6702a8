"""A run queue for each CPU, served in turn, and the context switch (xen/common/sched/core.c).

A queue holds the vCPUs that can run and wait for that CPU; the current one is not in it. Whoever
makes a vCPU runnable queues it (`sched_wake`), whoever stops it takes it off (`sched_sleep`), both
under the schedule lock of the CPU.
"""

from msgspec.structs import replace

from proto.ids import CpuIndex
from proto.image import symbol
from proto.traces import VcpuPlaced
from proto.units import MS
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.context import context_to_run, save_context
from services.pcpu.xen.domain import vcpu_schedule_lock, vcpu_wake
from services.pcpu.xen.lists import list_words, members, store_list
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq, raise_softirq
from services.pcpu.xen.spinlock import spin_lock, spin_unlock, spin_unlock_irqrestore
from services.pcpu.xen.state import SystemState
from services.pcpu.xen.timer import INACTIVE, init_timer, migrate_timer, set_timer, stop_timer
from services.pcpu.xen.vgic import arch_move_irqs
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
    queued, goes_on, idle_only, slice_ends = await look_at_runqueue(pe)
    previous = pe.current
    waiting = [*queued, previous.index] if previous is not None and goes_on else queued
    following = pe.xen.vcpus[waiting[0]] if waiting and not idle_only else None
    if following is not previous:
        chosen = following.index if following is not None else -1
        await dispatch(pe, following, [index for index in waiting if index != chosen])
    await spin_unlock(pe, percpu.schedule_lock)
    s_timer = pe.xen.s_timer[pe.cpu]
    if following is not None and len(waiting) > 1:
        await set_timer(pe, s_timer, pe.now + TIME_SLICE_NS)
    elif slice_ends != INACTIVE:
        await stop_timer(pe, s_timer)
    if following is not previous:
        await context_switch(pe, previous, following)
    await pe.irq_enable()


@symbol
async def look_at_runqueue(pe: Pe) -> tuple[list[int], bool, bool, int]:
    """Who waits here, whether the current vCPU can go on, whether none may run, the slice's end.

    Under the schedule lock. Only the idle vCPU may run while a tasklet waits for it. The end of the
    time slice is 0 if there is none.
    """
    percpu = pe.xen.percpu[pe.cpu]
    cells = [percpu.tasklet_work, pe.xen.system.scheduler_disabled, pe.xen.s_timer[pe.cpu].expires]
    cells += percpu.runq
    if pe.current is not None:
        own = pe.xen.vcpu[pe.current.index]
        domain = pe.xen.domains[pe.current.domain]
        cells += [own.pause_flags, own.pause_count, domain.pause_count]
    work, disabled, slice_ends, *rest = await pe.load_burst(cells)
    length = len(percpu.runq)
    return members(rest[:length]), not any(rest[length:]), bool(work or disabled), slice_ends


@symbol
async def dispatch(pe: Pe, following: Vcpu | None, waiting: list[int]) -> None:
    """Make a vCPU this CPU's current one, and these the ones that wait, at one point."""
    percpu = pe.xen.percpu[pe.cpu]
    words = list_words(percpu.runq, waiting)
    if following is None:
        await pe.store_burst((*percpu.runq, percpu.curr), (*words, 0))
        return
    cells = pe.xen.vcpu[following.index]
    await pe.store_burst(
        (*percpu.runq, percpu.curr, cells.is_running, cells.running_since_ns),
        (*words, following.index + 1, 1, pe.now),
    )


@symbol
async def sched_wake(pe: Pe, vcpu: Vcpu, cpu: CpuIndex) -> None:
    """A vCPU can run again: queue it on its CPU, unless it is there, and have the CPU look.

    Under that CPU's schedule lock.
    """
    percpu = pe.xen.percpu[cpu]
    current, *words = await pe.load_burst((percpu.curr, *percpu.runq))
    queued = members(words)
    if current != vcpu.index + 1 and vcpu.index not in queued:
        await store_list(pe, percpu.runq, [*queued, vcpu.index])
        await cpu_raise_softirq(pe, cpu, Softirq.SCHEDULE)


@symbol
async def sched_sleep(pe: Pe, vcpu: Vcpu, cpu: CpuIndex) -> None:
    """A vCPU must not run any more: take it off its CPU's queue, or have the CPU deschedule it.

    Under that CPU's schedule lock.
    """
    percpu = pe.xen.percpu[cpu]
    current, *words = await pe.load_burst((percpu.curr, *percpu.runq))
    queued = members(words)
    if current == vcpu.index + 1:
        await cpu_raise_softirq(pe, cpu, Softirq.SCHEDULE)
    elif vcpu.index in queued:
        queued.remove(vcpu.index)
        await store_list(pe, percpu.runq, queued)


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
    pe.reload = False
    if pe.result is not None:
        state = replace(state, x=(pe.result, *state.x[1:]))
        pe.result = None
    await save_context(pe, vcpu, state, pe.generation)
    await virt_timer_save(pe, vcpu, state)
    cells = pe.xen.vcpu[vcpu.index]
    since_ns, before_ns = await pe.load_burst((cells.running_since_ns, cells.runtime_ns))
    runtime_ns = before_ns + pe.now - since_ns
    # Clear the running flag after the context is in memory (vcpu_context_saved).
    await pe.publish((cells.runtime_ns, cells.is_running), (runtime_ns, 0))
    await pe.smp_mb()


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
    await pe.smp_mb()
    if any(await pe.load_burst([timer.expires for timer in own])):
        await cpu_raise_softirq(pe, cpu, Softirq.TIMER)
    return 0


@symbol
async def sched_move_timers_never(pe: Pe, cpu: CpuIndex) -> int:
    """Before 37f82facd6 (2022) they stay where they went."""
    return 0


@symbol
async def scheduler_enable_and_restore_affinity(pe: Pe) -> None:
    """Before fce1f381f7 (2022) every resume put vCPUs back by their affinity (thaw_domains).

    Behind the scheduler's back: it still has them in the queue of another CPU.
    """
    for vcpu in pe.xen.vcpus:
        cells = pe.xen.vcpu[vcpu.index]
        affinity, online = await pe.load_burst((cells.hard_affinity, pe.xen.system.cpu_online_map))
        allowed = affinity & online
        await pe.store(cells.processor, (allowed & -allowed).bit_length() - 1)
    await pe.store(pe.xen.system.scheduler_disabled, 0)
    for cpu in pe.board.platform.cpus:
        await cpu_raise_softirq(pe, cpu, Softirq.SCHEDULE)


# -- placement


@symbol
async def cpu_disable_scheduler(pe: Pe, cpu: CpuIndex) -> int:
    """Move the vCPUs of a CPU that goes, and their interrupts, to others (CPU_DYING).

    Not during system suspend: the CPU is meant to come back, and finds its vCPUs where they were.
    One that does not come back loses them then (CPU_RESUME_FAILED).
    """
    if await pe.load(pe.xen.system.system_state) == SystemState.SUSPEND:
        return 0
    owners = await pe.load_burst([vcpu.processor for vcpu in pe.xen.vcpu])
    for vcpu, owner in zip(pe.xen.vcpus, owners, strict=True):
        if owner == cpu:
            await vcpu_migrate(pe, vcpu, await sched_pick_cpu(pe, vcpu, cpu))
    return 0


@symbol
async def sched_pick_cpu(pe: Pe, vcpu: Vcpu, leaving: CpuIndex) -> CpuIndex:
    """The online CPU of a vCPU's affinity with the fewest vCPUs, the lowest of several.

    If none of its affinity is online, the affinity is given up.
    """
    cells = pe.xen.vcpu[vcpu.index]
    owners = [own.processor for own in pe.xen.vcpu]
    affinity, online, *placed = await pe.load_burst(
        (cells.hard_affinity, pe.xen.system.cpu_online_map, *owners)
    )
    online &= ~(1 << leaving)
    if not affinity & online:
        await printk(pe, f"Breaking affinity for d{vcpu.domain}v{vcpu.number}")
        affinity = (1 << pe.board.platform.pes) - 1
        await pe.store(cells.hard_affinity, affinity)
    allowed = [cpu for cpu in pe.board.platform.cpus if affinity & online & 1 << cpu]
    return min(allowed, key=lambda cpu: (placed.count(cpu), cpu))


@symbol
async def vcpu_migrate(pe: Pe, vcpu: Vcpu, cpu: CpuIndex) -> None:
    """Move a vCPU that does not run to another CPU; its interrupts and its timer follow.

    Source: xen/common/sched/core.c, sched_unit_migrate_finish; xen/arch/arm/vgic.c, arch_move_irqs.
    """
    cells = pe.xen.vcpu[vcpu.index]
    seen, masked = await vcpu_schedule_lock(pe, vcpu)
    old = pe.xen.percpu[seen.processor]
    queued = members(await pe.load_burst(old.runq))
    await store_list(pe, old.runq, [index for index in queued if index != vcpu.index])
    pe.trace(VcpuPlaced(vcpu.domain, vcpu.number, cpu))
    await pe.store(cells.processor, cpu)
    await spin_unlock_irqrestore(pe, old.schedule_lock, masked)
    await arch_move_irqs(pe, vcpu, cpu)
    await migrate_timer(pe, pe.xen.virt_timer[vcpu.index], cpu)
    await vcpu_wake(pe, vcpu)
