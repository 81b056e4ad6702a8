"""Tasklets that run in the context of the idle vCPU (xen/common/tasklet.c).

A tasklet is a function with its data and waits in the list of one CPU. All lists are under one
lock; `tasklet_work` of a CPU says that its list is not empty (TASKLET_enqueued).
"""

from proto.ids import CpuIndex
from proto.image import symbol
from proto.messages import AtomicOp
from services.pcpu.pe import Pe
from services.pcpu.xen.lists import members, store_list
from services.pcpu.xen.memory import TaskletCells
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq
from services.pcpu.xen.spinlock import spin_lock_irqsave, spin_unlock_irqrestore

AGAIN_SHIFT = 8
"""Where `is_running` says on which CPU, plus one, the tasklet is to run once more."""


@symbol
async def tasklet_init(pe: Pe, tasklet: TaskletCells, function: str, data: int) -> None:
    """Make a tasklet that runs a symbol with `data`; it is not scheduled."""
    cells = (tasklet.function, tasklet.data, tasklet.scheduled_on)
    await pe.store_burst(cells, (pe.image.address(function), data, 0))


@symbol
async def tasklet_schedule_on_cpu(pe: Pe, tasklet: TaskletCells, cpu: CpuIndex) -> None:
    """Queue a tasklet on a CPU, whose scheduler then prefers the idle vCPU.

    One that is scheduled already moves there; one that runs will run once more when it has ended.
    """
    masked = await spin_lock_irqsave(pe, pe.xen.system.tasklet_lock)
    on, running = await pe.load_burst((tasklet.scheduled_on, tasklet.is_running))
    again = running | (cpu + 1) << AGAIN_SHIFT
    if not running or await pe.compare_and_swap(tasklet.is_running, running, again) != running:
        if on:
            await tasklet_dequeue(pe, tasklet, CpuIndex(on - 1))
        await tasklet_enqueue(pe, tasklet, cpu)
    await spin_unlock_irqrestore(pe, pe.xen.system.tasklet_lock, masked)


@symbol
async def tasklet_enqueue(pe: Pe, tasklet: TaskletCells, cpu: CpuIndex) -> None:
    """Append a tasklet to a CPU's list; the first one asks the CPU's scheduler."""
    area = pe.xen.percpu[cpu]
    queued = members(await pe.load_burst(area.tasklet_list))
    await store_list(pe, area.tasklet_list, [*queued, pe.xen.tasklets.index(tasklet)])
    await pe.store_burst((tasklet.scheduled_on, area.tasklet_work), (cpu + 1, 1))
    if not queued:
        await cpu_raise_softirq(pe, cpu, Softirq.SCHEDULE)


@symbol
async def tasklet_dequeue(pe: Pe, tasklet: TaskletCells, cpu: CpuIndex) -> None:
    """Take a tasklet out of a CPU's list."""
    area = pe.xen.percpu[cpu]
    queued = members(await pe.load_burst(area.tasklet_list))
    queued.remove(pe.xen.tasklets.index(tasklet))
    await store_list(pe, area.tasklet_list, queued)
    await pe.store_burst((tasklet.scheduled_on, area.tasklet_work), (0, int(bool(queued))))


@symbol
async def do_tasklet(pe: Pe) -> None:
    """Run the first tasklet of this CPU's list, if any; called from the idle loop only."""
    area, lock = pe.xen.percpu[pe.cpu], pe.xen.system.tasklet_lock
    if not await pe.load(area.tasklet_work):
        return
    masked = await spin_lock_irqsave(pe, lock)
    queued = members(await pe.load_burst(area.tasklet_list))
    assert queued, "tasklet_work is set and the list is empty"
    tasklet = pe.xen.tasklets[queued[0]]
    await tasklet_dequeue(pe, tasklet, pe.cpu)
    await pe.store(tasklet.is_running, pe.cpu + 1)
    await spin_unlock_irqrestore(pe, lock, masked)
    function, data = await pe.load_burst((tasklet.function, tasklet.data))
    name = pe.image.at(function)
    assert name is not None, f"tasklet {queued[0]} was scheduled and never made"
    await pe.links[name](pe, data)
    await do_tasklet_end(pe, tasklet)


@symbol
async def do_tasklet_end(pe: Pe, tasklet: TaskletCells) -> None:
    """A tasklet's function has ended: whoever scheduled it meanwhile gets it queued now."""
    again = await pe.atomic(AtomicOp.SWAP, tasklet.is_running, 0) >> AGAIN_SHIFT
    if again:
        await tasklet_schedule_on_cpu(pe, tasklet, CpuIndex(again - 1))
    await cpu_raise_softirq(pe, pe.cpu, Softirq.SCHEDULE)


@symbol
async def do_tasklet_after_sleep(pe: Pe) -> None:
    """The tasklet that suspended the host has ended, though the sleep threw its frame away."""
    running = await pe.load_burst([tasklet.is_running for tasklet in pe.xen.tasklets])
    for tasklet, word in zip(pe.xen.tasklets, running, strict=True):
        if word & (1 << AGAIN_SHIFT) - 1 == pe.cpu + 1:
            await do_tasklet_end(pe, tasklet)


@symbol
async def migrate_tasklets_from_cpu(pe: Pe, cpu: CpuIndex) -> int:
    """Move what a dead CPU had queued to this one (CPU_DEAD)."""
    dead = pe.xen.percpu[cpu]
    if not await pe.load(dead.tasklet_work):
        return 0
    masked = await spin_lock_irqsave(pe, pe.xen.system.tasklet_lock)
    left = members(await pe.load_burst(dead.tasklet_list))
    await pe.store(dead.tasklet_work, 0)
    await store_list(pe, dead.tasklet_list, ())
    for index in left:
        await tasklet_enqueue(pe, pe.xen.tasklets[index], pe.cpu)
    await spin_unlock_irqrestore(pe, pe.xen.system.tasklet_lock, masked)
    return 0
