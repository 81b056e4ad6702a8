"""CPU notifiers: who is told when a CPU comes and goes (xen/common/cpu.c)."""

from enum import Enum

from proto.ids import CpuIndex
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.state import SystemState


class CpuEvent(Enum):
    """Notifier events (xen/include/xen/cpu.h)."""

    UP_PREPARE = "CPU_UP_PREPARE"
    UP_CANCELED = "CPU_UP_CANCELED"
    ONLINE = "CPU_ONLINE"
    STARTING = "CPU_STARTING"
    DOWN_PREPARE = "CPU_DOWN_PREPARE"
    DYING = "CPU_DYING"
    DOWN_FAILED = "CPU_DOWN_FAILED"
    DEAD = "CPU_DEAD"
    RESUME_FAILED = "CPU_RESUME_FAILED"


CPU_CHAIN: dict[CpuEvent, tuple[str, ...]] = {
    CpuEvent.UP_PREPARE: ("init_percpu_area",),
    CpuEvent.UP_CANCELED: (),
    CpuEvent.ONLINE: (),
    CpuEvent.STARTING: ("init_ppis",),
    CpuEvent.DOWN_PREPARE: (),
    CpuEvent.DYING: ("release_ppis", "cpu_disable_scheduler"),
    CpuEvent.DOWN_FAILED: (),
    CpuEvent.DEAD: (
        "migrate_timers_from_cpu",
        "migrate_tasklets_from_cpu",
    ),
    CpuEvent.RESUME_FAILED: ("cpu_disable_scheduler",),
}
"""Event to its callbacks, in order.

STARTING and DYING run on the CPU that comes or goes, DYING inside stop_machine; all others on the
CPU that calls cpu_up or cpu_down.
"""


@symbol
async def cpu_notifier_call_chain(pe: Pe, cpu: CpuIndex, event: CpuEvent) -> int:
    """Run the callbacks of an event until one refuses; gives its error."""
    refused = await pe.point(f"{event.value} pe{cpu}")
    if refused:
        return refused
    for callback in CPU_CHAIN[event]:
        error: int = await pe.links[callback](pe, cpu)
        if error:
            return error
    return 0


@symbol
async def init_percpu_area(pe: Pe, cpu: CpuIndex) -> int:
    """Clear the per-CPU area of a CPU that comes up; over system suspend it is kept."""
    if await pe.load(pe.xen.system.system_state) != SystemState.RESUME:
        area = pe.xen.percpu[cpu]
        cells = (area.softirq_pending, area.tasklet_work, area.curr)
        await pe.store_burst(cells, (0,) * len(cells))
    return 0
