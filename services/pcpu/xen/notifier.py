"""CPU notifiers: who is told when a CPU comes and goes (xen/common/cpu.c)."""

from enum import Enum

from proto.ids import CpuIndex
from proto.image import symbol
from services.pcpu.pe import Pe


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
    CpuEvent.UP_PREPARE: ("init_percpu_area", "stopmachine_tasklet_init"),
    CpuEvent.UP_CANCELED: ("free_percpu_area",),
    CpuEvent.ONLINE: ("sched_move_timers",),
    CpuEvent.STARTING: (),
    CpuEvent.DOWN_PREPARE: (),
    CpuEvent.DYING: ("release_ppis", "cpu_disable_scheduler"),
    CpuEvent.DOWN_FAILED: (),
    CpuEvent.DEAD: (
        "migrate_timers_from_cpu",
        "migrate_tasklets_from_cpu",
        "rcu_offline_cpu",
        "free_percpu_area",
    ),
    CpuEvent.RESUME_FAILED: ("cpu_disable_scheduler", "free_percpu_area"),
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
