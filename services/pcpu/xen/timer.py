"""Xen's per-CPU timers, served by the EL2 physical timer (xen/common/timer.c).

Each timer is a deadline cell and a CPU: one per vCPU stands in for its virtual timer while it does
not run, one per CPU ends the time slice.
"""

from proto import timer as generic_timer
from proto.cells import Cell
from proto.ids import CpuIndex
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq, raise_softirq

INACTIVE = 0


def timer_cells(pe: Pe) -> tuple[Cell, ...]:
    """Cells of all timers that may belong to this CPU: its time slice, then two per vCPU."""
    cells: list[Cell] = [pe.xen.percpu[pe.cpu].s_timer]
    for vcpu in pe.xen.vcpu:
        cells += (vcpu.timer_deadline, vcpu.timer_cpu)
    return tuple(cells)


@symbol
async def reprogram_timer(pe: Pe) -> None:
    """Arm the EL2 timer for the earliest deadline of this CPU, or switch it off."""
    values = await pe.load_burst(timer_cells(pe))
    deadlines = [values[0]]
    deadlines += [values[at] for at in range(1, len(values), 2) if values[at + 1] == pe.cpu]
    active = [deadline for deadline in deadlines if deadline != INACTIVE]
    if active:
        pe.set_cnthp(generic_timer.ENABLE, min(active))
    else:
        pe.set_cnthp(0, 0)


@symbol
async def set_vcpu_timer(pe: Pe, index: int, deadline_ns: int) -> None:
    """Start the timer that stands in for a vCPU's virtual timer, on this CPU."""
    cells = pe.xen.vcpu[index]
    await pe.store_burst((cells.timer_deadline, cells.timer_cpu), (deadline_ns, pe.cpu))
    await reprogram_timer(pe)


@symbol
async def stop_vcpu_timer(pe: Pe, index: int) -> None:
    """Stop that timer; its CPU finds out when the hardware timer fires for nothing."""
    await pe.store(pe.xen.vcpu[index].timer_deadline, INACTIVE)


@symbol
async def set_s_timer(pe: Pe, deadline_ns: int) -> None:
    """Start or stop (deadline 0) the timer that ends this CPU's time slice."""
    await pe.store(pe.xen.percpu[pe.cpu].s_timer, deadline_ns)
    await reprogram_timer(pe)


@symbol
async def htimer_interrupt(pe: Pe) -> None:
    """EL2 timer PPI: silence the comparator and let the softirq look (arch/arm/time.c)."""
    pe.set_cnthp(0, 0)
    await raise_softirq(pe, Softirq.TIMER)


@symbol
async def timer_softirq_action(pe: Pe) -> None:
    """Run what has expired on this CPU, then arm the hardware for the rest."""
    values = await pe.load_burst(timer_cells(pe))
    if values[0] != INACTIVE and values[0] <= pe.now:
        await pe.store(pe.xen.percpu[pe.cpu].s_timer, INACTIVE)
        await raise_softirq(pe, Softirq.SCHEDULE)
    for vcpu in pe.xen.vcpus:
        deadline, cpu = values[1 + 2 * vcpu.index], values[2 + 2 * vcpu.index]
        if deadline == INACTIVE or cpu != pe.cpu or deadline > pe.now:
            continue
        cell = pe.xen.vcpu[vcpu.index].timer_deadline
        if await pe.compare_and_swap(cell, deadline, INACTIVE) == deadline:
            await pe.links["virt_timer_expired"](pe, vcpu)
    await reprogram_timer(pe)


@symbol
async def migrate_timers_from_cpu(pe: Pe, cpu: CpuIndex) -> int:
    """Take over the timers of a dead CPU (CPU_DEAD)."""
    await pe.store(pe.xen.percpu[cpu].s_timer, INACTIVE)
    cells = pe.xen.vcpu
    cpus = await pe.load_burst([vcpu.timer_cpu for vcpu in cells])
    for vcpu, owner in zip(cells, cpus, strict=True):
        if owner == cpu:
            await pe.store(vcpu.timer_cpu, pe.cpu)
    await cpu_raise_softirq(pe, pe.cpu, Softirq.TIMER)
    return 0
