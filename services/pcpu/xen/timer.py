"""Xen's timers, served by the EL2 physical timer of the CPU each belongs to (xen/common/timer.c).

A timer is a row of cells: when it expires, on which CPU, and what runs then. Xen keeps the timers
of a CPU in a heap under a lock. Here one burst reads them all at one point of the memory order, and
whoever takes the deadline out of its cell runs the timer: none expires twice, none is lost. Where
Xen gives that lock back, the barrier of its spin_unlock stands alone (`smp_mb`).
"""

from proto import timer as generic_timer
from proto.cells import Cell
from proto.ids import CpuIndex
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import TimerCells
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq, raise_softirq

INACTIVE = 0
"""`expires` of a timer that is not set."""

TIMER_CPU_KILLED = 0xFFFF
"""`cpu` of a timer that is never to run again (TIMER_CPU_status_killed)."""


def timer_cells(pe: Pe) -> tuple[Cell, ...]:
    """Deadline and CPU of every timer."""
    return pe.xen.timer_cells


def _mine(pe: Pe, values: tuple[int, ...]) -> list[tuple[int, int]]:
    """Index and deadline of the set timers of this CPU, among what `timer_cells` held."""
    rows = enumerate(zip(values[::2], values[1::2], strict=True))
    cpu = pe.cpu
    return [(at, deadline) for at, (deadline, owner) in rows if deadline and owner == cpu]


def _program(pe: Pe, values: tuple[int, ...]) -> None:
    """Arm the EL2 timer for the earliest deadline of this CPU, or switch it off."""
    mine = _mine(pe, values)
    if mine:
        pe.set_cnthp(generic_timer.ENABLE, min(deadline for _, deadline in mine))
    else:
        pe.set_cnthp(0, 0)


@symbol
async def reprogram_timer(pe: Pe) -> None:
    """Arm the EL2 timer for the earliest deadline of this CPU, or switch it off."""
    _program(pe, await pe.load_burst(timer_cells(pe)))


@symbol
async def init_timer(
    pe: Pe, timer: TimerCells, function: str, data: int, cpu: CpuIndex | int
) -> None:
    """Make a timer that will run a symbol with `data` on a CPU; it is not set yet."""
    await pe.store_burst(
        (timer.expires, timer.cpu, timer.function, timer.data),
        (INACTIVE, cpu, pe.image.address(function), data),
    )


@symbol
async def set_timer(pe: Pe, timer: TimerCells, expires_ns: int) -> None:
    """Have a timer expire at a board time, on its own CPU; a killed one stays dead."""
    await pe.store(timer.expires, expires_ns)
    await pe.smp_mb()
    values = await pe.load_burst((*timer_cells(pe), timer.cpu))
    if values[-1] == pe.cpu:
        _program(pe, values[:-1])
    elif values[-1] != TIMER_CPU_KILLED:
        await cpu_raise_softirq(pe, CpuIndex(values[-1]), Softirq.TIMER)


@symbol
async def stop_timer(pe: Pe, timer: TimerCells) -> None:
    """Forget a timer's deadline; its CPU finds out when the hardware fires for nothing."""
    await pe.store(timer.expires, INACTIVE)
    await pe.smp_mb()


@symbol
async def kill_timer(pe: Pe, timer: TimerCells) -> None:
    """Stop a timer for good, and wait until no CPU runs its function."""
    await pe.store_burst((timer.expires, timer.cpu), (INACTIVE, TIMER_CPU_KILLED))
    await pe.smp_mb()
    number = pe.xen.timers.index(timer) + 1
    for cpu in pe.board.platform.cpus:
        running = pe.xen.percpu[cpu].timer_running
        while cpu != pe.cpu and await pe.load(running) == number:
            await pe.wfe(running, number)


@symbol
async def migrate_timer(pe: Pe, timer: TimerCells, cpu: CpuIndex) -> None:
    """Move a timer to another CPU, whose softirq then looks at it if it is set."""
    before, expires_ns = await pe.load_burst((timer.cpu, timer.expires))
    if before in (cpu, TIMER_CPU_KILLED):
        return
    await pe.compare_and_swap(timer.cpu, before, cpu)
    if expires_ns != INACTIVE:
        await cpu_raise_softirq(pe, cpu, Softirq.TIMER)


@symbol
async def stop_vcpu_timer(pe: Pe, index: int) -> None:
    """Stop the timer that stands in for a vCPU's virtual timer."""
    await stop_timer(pe, pe.xen.virt_timer[index])


@symbol
async def htimer_interrupt(pe: Pe) -> None:
    """EL2 timer PPI: silence the comparator and let the softirq look (arch/arm/time.c)."""
    pe.set_cnthp(0, 0)
    await raise_softirq(pe, Softirq.TIMER)


@symbol
async def timer_softirq_action(pe: Pe) -> None:
    """Run what has expired on this CPU, earliest first, then arm the hardware for the rest."""
    values = await pe.load_burst(timer_cells(pe))
    due = [(deadline, index) for index, deadline in _mine(pe, values) if deadline <= pe.now]
    for deadline, index in sorted(due):
        await execute_timer(pe, index, deadline)
    if due:
        values = await pe.load_burst(timer_cells(pe))
    _program(pe, values)


@symbol
async def execute_timer(pe: Pe, index: int, deadline_ns: int) -> None:
    """Take an expired timer and run its function, unless somebody changed it meanwhile."""
    timer, running = pe.xen.timers[index], pe.xen.percpu[pe.cpu].timer_running
    # Marked before it is taken: kill_timer must not miss a function that is about to run.
    await pe.store(running, index + 1)
    if await pe.compare_and_swap(timer.expires, deadline_ns, INACTIVE) == deadline_ns:
        function, data = await pe.load_burst((timer.function, timer.data))
        name = pe.image.at(function)
        assert name is not None, f"timer {index} expired and was never made"
        await pe.links[name](pe, data)
    await pe.smp_wmb()
    await pe.store(running, 0)


@symbol
async def migrate_timers_from_cpu(pe: Pe, cpu: CpuIndex) -> int:
    """Take over the timers of a dead CPU (CPU_DEAD); `sched_move_timers` takes them back."""
    owners = await pe.load_burst([timer.cpu for timer in pe.xen.timers])
    moved = [timer.cpu for timer, owner in zip(pe.xen.timers, owners, strict=True) if owner == cpu]
    if moved:
        await pe.store_burst(moved, (pe.cpu,) * len(moved))
        await cpu_raise_softirq(pe, pe.cpu, Softirq.TIMER)
    return 0
