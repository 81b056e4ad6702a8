"""Read-copy-update: work that waits until every CPU has passed a softirq (xen/common/rcupdate.c).

A batch of callbacks waits for one grace period: each CPU that is online when it starts has to
serve the RCU softirq once, where no reader can be under way. Who queued a callback runs it.
"""

from proto.cells import Cell
from proto.ids import CpuIndex
from proto.image import symbol
from proto.units import US
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import RcuHeadCells
from services.pcpu.xen.softirq import (
    Softirq,
    cpu_raise_softirq,
    process_pending_softirqs,
    raise_softirq,
)
from services.pcpu.xen.spinlock import spin_lock_irqsave, spin_unlock_irqrestore

BARRIER_POLL_NS = 10 * US
"""How often rcu_barrier looks, softirqs served in between."""


@symbol
async def call_rcu(pe: Pe, head: RcuHeadCells, function: str, data: int) -> None:
    """Have a symbol run with `data` on this CPU after a grace period."""
    cells = (head.function, head.data, head.batch, head.cpu)
    await pe.store_burst(cells, (pe.image.address(function), data, 0, pe.cpu + 1))
    await raise_softirq(pe, Softirq.RCU)


@symbol
async def rcu_process_callbacks(pe: Pe) -> None:
    """RCU softirq: this CPU has passed; start a batch if one is due, run what is done."""
    masked = await spin_lock_irqsave(pe, pe.xen.rcu.lock)
    done = await rcu_quiescent_state(pe, 1 << pe.cpu)
    await spin_unlock_irqrestore(pe, pe.xen.rcu.lock, masked)
    for index in done:
        head = pe.xen.rcu_heads[index]
        function, data = await pe.load_burst((head.function, head.data))
        name = pe.image.at(function)
        assert name is not None
        await pe.links[name](pe, data)
        # Whoever no longer finds it queued finds its work done (rcu_barrier_callback).
        await pe.smp_wmb()
        await pe.store(head.cpu, 0)


def _head_cells(pe: Pe) -> tuple[Cell, ...]:
    return tuple(cell for head in pe.xen.rcu_heads for cell in (head.cpu, head.batch))


@symbol
async def rcu_quiescent_state(pe: Pe, passed: int) -> list[int]:
    """Account for CPUs that have passed; gives this CPU's heads whose batch is completed.

    Under `rcu.lock`. Starts the next batch when none is under way and a callback waits.
    """
    rcu = pe.xen.rcu
    cur, completed, waiting, online, *rows = await pe.load_burst(
        (rcu.cur, rcu.completed, rcu.cpumask, pe.xen.system.cpu_online_map, *_head_cells(pe))
    )
    owners, batches = rows[::2], rows[1::2]
    waiting &= ~passed
    for index, owner in enumerate(owners):
        if owner == pe.cpu + 1 and not batches[index]:
            batches[index] = cur + 1
            await pe.store(pe.xen.rcu_heads[index].batch, cur + 1)
    poked = 0
    while not waiting:
        completed = cur
        if not any(owner and batch > cur for owner, batch in zip(owners, batches, strict=True)):
            break
        cur += 1
        poked = waiting = online & ~(1 << pe.cpu)
    ready = [
        index for index, owner in enumerate(owners) if owner and 0 < batches[index] <= completed
    ]
    await pe.store_burst((rcu.cur, rcu.completed, rcu.cpumask), (cur, completed, waiting))
    poked |= sum({1 << owners[index] - 1 for index in ready})
    for cpu in pe.board.platform.cpus:
        if poked >> cpu & 1 and cpu != pe.cpu:
            await cpu_raise_softirq(pe, cpu, Softirq.RCU)
    return [index for index in ready if owners[index] == pe.cpu + 1]


@symbol
async def rcu_barrier(pe: Pe) -> None:
    """Wait until every callback that was queued before has run.

    Costs one look when there is none. Softirqs are served meanwhile: without them no batch ends.
    """
    queued = [head.cpu for head in pe.xen.rcu_heads]
    while any(await pe.load_burst(queued)):
        await process_pending_softirqs(pe)
        await pe.delay(BARRIER_POLL_NS)


@symbol
async def rcu_barrier_nothing(pe: Pe) -> None:
    """As before somebody thought of it: nobody waits."""
    return


@symbol
async def rcu_offline_cpu(pe: Pe, cpu: CpuIndex) -> int:
    """Wait for a dead CPU no longer, and take over the callbacks it had queued (CPU_DEAD)."""
    waiting, left = await rcu_left_behind(pe, cpu)
    if not left and not waiting >> cpu & 1:
        return 0
    masked = await spin_lock_irqsave(pe, pe.xen.rcu.lock)
    waiting, left = await rcu_left_behind(pe, cpu)
    words = (waiting & ~(1 << cpu), *[pe.cpu + 1] * len(left))
    await pe.store_burst((pe.xen.rcu.cpumask, *left), words)
    await raise_softirq(pe, Softirq.RCU)
    await spin_unlock_irqrestore(pe, pe.xen.rcu.lock, masked)
    return 0


@symbol
async def rcu_left_behind(pe: Pe, cpu: CpuIndex) -> tuple[int, list[Cell]]:
    """The CPUs a batch waits for, and the owners of the callbacks that a CPU has queued."""
    heads = pe.xen.rcu_heads
    waiting, *owners = await pe.load_burst((pe.xen.rcu.cpumask, *(head.cpu for head in heads)))
    left = [head.cpu for head, owner in zip(heads, owners, strict=True) if owner == cpu + 1]
    return waiting, left
