"""The per-CPU area of a CPU: made when it comes up, freed when it is gone (xen/common/percpu.c)."""

from proto.hypercall import Errno
from proto.ids import CpuIndex
from proto.image import symbol
from proto.machine import ExternalAbort
from proto.traces import Unpredictable
from services.pcpu.pe import Pe
from services.pcpu.xen.heap import xfree, xmalloc
from services.pcpu.xen.memory import PercpuArea
from services.pcpu.xen.rcupdate import call_rcu
from services.pcpu.xen.state import SystemState


@symbol
async def percpu_init_areas(pe: Pe) -> None:
    """The boot CPU's area is part of the image; nobody else has one."""
    await pe.store(pe.xen.system.percpu_area[pe.cpu], PercpuArea.VALID)


@symbol
async def init_percpu_area(pe: Pe, cpu: CpuIndex) -> int:
    """Make the area of a CPU that comes up (CPU_UP_PREPARE); -EBUSY if it has one.

    After system suspend it has: the area is kept (282fa3fdb6).
    """
    area, state = await pe.load_burst((pe.xen.system.percpu_area[cpu], pe.xen.system.system_state))
    if area == PercpuArea.INVALID:
        await make_percpu_area(pe, cpu)
        return 0
    return 0 if state == SystemState.RESUME else -Errno.EBUSY


@symbol
async def init_percpu_area_busy(pe: Pe, cpu: CpuIndex) -> int:
    """Before 282fa3fdb6 (2025-03) an area that was kept over suspend is an error."""
    if await pe.load(pe.xen.system.percpu_area[cpu]) != PercpuArea.INVALID:
        return -Errno.EBUSY
    await make_percpu_area(pe, cpu)
    return 0


@symbol
async def make_percpu_area(pe: Pe, cpu: CpuIndex) -> None:
    """Allocate and clear an area."""
    await xmalloc(pe, f"per-CPU area of CPU{cpu}")
    own = pe.xen.percpu[cpu]
    cells = (
        own.softirq_pending,
        own.tasklet_work,
        own.curr,
        own.timer_running,
        *own.tasklet_list,
        *own.runq,
        pe.xen.system.percpu_area[cpu],
    )
    await pe.store_burst(cells, (*(0,) * (len(cells) - 1), PercpuArea.VALID))


@symbol
async def free_percpu_area(pe: Pe, cpu: CpuIndex) -> int:
    """Have the area of a CPU that is gone freed (CPU_DEAD, CPU_UP_CANCELED), but not at suspend."""
    if await pe.load(pe.xen.system.system_state) == SystemState.SUSPEND:
        return 0
    return await free_percpu_area_always(pe, cpu)


@symbol
async def free_percpu_area_always(pe: Pe, cpu: CpuIndex) -> int:
    """Have it freed after a grace period: somebody may still look into it."""
    cell = pe.xen.system.percpu_area[cpu]
    if await pe.compare_and_swap(cell, PercpuArea.VALID, PercpuArea.FREEING) == PercpuArea.VALID:
        await call_rcu(pe, pe.xen.percpu_rcu_head[cpu], "rcu_free_percpu_area", cpu)
    return 0


@symbol
async def rcu_free_percpu_area(pe: Pe, cpu: int) -> None:
    """Free an area; the CPU must not have come back meanwhile (_free_percpu_area)."""
    if await pe.load(pe.xen.system.cpu_online_map) >> cpu & 1:
        what = f"the per-CPU area of CPU{cpu}, which is online, is freed"
        pe.trace(Unpredictable(what, "xen/common/percpu.c, _free_percpu_area"))
    await xfree(pe, f"per-CPU area of CPU{cpu}")
    await pe.store(pe.xen.system.percpu_area[CpuIndex(cpu)], PercpuArea.INVALID)


@symbol
async def set_processor_id(pe: Pe, cpu: CpuIndex) -> None:
    """Point this CPU at its area; without one its first per-CPU access faults."""
    if await pe.load(pe.xen.system.percpu_area[cpu]) == PercpuArea.INVALID:
        raise ExternalAbort(f"translation fault: CPU{cpu} has no per-CPU area")
