"""CPU hotplug: notifiers, cpu_down, cpu_up, the non-boot CPUs (xen/common/cpu.c)."""

from enum import Enum

from proto.ids import CpuIndex
from proto.image import symbol
from proto.traces import CpuMissing
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.errno import EBUSY, EEXIST, EINVAL
from services.pcpu.xen.smpboot import arch_cpu_die, arch_cpu_up
from services.pcpu.xen.spinlock import spin_trylock, spin_unlock
from services.pcpu.xen.state import SystemState
from services.pcpu.xen.stop_machine import stop_machine_run

BOOT_CPU = CpuIndex(0)


class CpuEvent(Enum):
    """Notifier events (xen/include/xen/cpu.h)."""

    UP_PREPARE = "CPU_UP_PREPARE"
    UP_CANCELED = "CPU_UP_CANCELED"
    ONLINE = "CPU_ONLINE"
    DOWN_PREPARE = "CPU_DOWN_PREPARE"
    DOWN_FAILED = "CPU_DOWN_FAILED"
    DEAD = "CPU_DEAD"
    RESUME_FAILED = "CPU_RESUME_FAILED"


CPU_CHAIN: dict[CpuEvent, tuple[str, ...]] = {
    CpuEvent.UP_PREPARE: ("init_percpu_area",),
    CpuEvent.UP_CANCELED: (),
    CpuEvent.ONLINE: (),
    CpuEvent.DOWN_PREPARE: (),
    CpuEvent.DOWN_FAILED: (),
    CpuEvent.DEAD: (
        "migrate_timers_from_cpu",
        "migrate_tasklets_from_cpu",
        "cpu_disable_scheduler",
    ),
    CpuEvent.RESUME_FAILED: ("cpu_disable_scheduler",),
}
"""Event to the callbacks that run on the CPU which calls cpu_up or cpu_down, in order."""


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
        cells = (area.softirq_pending, area.tasklet_work, area.curr, area.s_timer)
        await pe.store_burst(cells, (0,) * len(cells))
    return 0


@symbol
async def cpu_down(pe: Pe, cpu: CpuIndex) -> int:
    """Take a CPU down; 0, -EINVAL for one that cannot, -EBUSY, or what a notifier refused with."""
    system = pe.xen.system
    if not await spin_trylock(pe, system.cpu_hotplug_lock):
        return -EBUSY
    error = -EINVAL
    if cpu != BOOT_CPU and await pe.load(system.cpu_online_map) >> cpu & 1:
        error = await _cpu_down(pe, cpu)
    await spin_unlock(pe, system.cpu_hotplug_lock)
    return error


async def _cpu_down(pe: Pe, cpu: CpuIndex) -> int:
    error = await cpu_notifier_call_chain(pe, cpu, CpuEvent.DOWN_PREPARE)
    if not error:
        error = await stop_machine_run(pe, "take_cpu_down", cpu)
    if error:
        await cpu_notifier_call_chain(pe, cpu, CpuEvent.DOWN_FAILED)
        return error
    error = await arch_cpu_die(pe, cpu)
    await cpu_notifier_call_chain(pe, cpu, CpuEvent.DEAD)
    return error


@symbol
async def cpu_up(pe: Pe, cpu: CpuIndex) -> int:
    """Bring a CPU up; 0, -EEXIST if it is, -EBUSY, -EIO if it did not come."""
    system = pe.xen.system
    if not await spin_trylock(pe, system.cpu_hotplug_lock):
        return -EBUSY
    error = -EEXIST
    if not await pe.load(system.cpu_online_map) >> cpu & 1:
        error = await _cpu_up(pe, cpu)
    await spin_unlock(pe, system.cpu_hotplug_lock)
    return error


async def _cpu_up(pe: Pe, cpu: CpuIndex) -> int:
    error = await cpu_notifier_call_chain(pe, cpu, CpuEvent.UP_PREPARE)
    if not error:
        error = await arch_cpu_up(pe, cpu)
    if error:
        await cpu_notifier_call_chain(pe, cpu, CpuEvent.UP_CANCELED)
        return error
    await cpu_notifier_call_chain(pe, cpu, CpuEvent.ONLINE)
    return 0


@symbol
async def disable_nonboot_cpus(pe: Pe) -> int:
    """Take every CPU but this one down and remember which (S3); the first refusal stops it."""
    online = await pe.load(pe.xen.system.cpu_online_map)
    frozen = 0
    error = 0
    for cpu in pe.board.platform.cpus:
        if cpu == BOOT_CPU or not online >> cpu & 1:
            continue
        error = await cpu_down(pe, cpu)
        assert error != -EBUSY, "BUG: cpu_down returned -EBUSY"
        if not await pe.load(pe.xen.system.cpu_online_map) >> cpu & 1:
            frozen |= 1 << cpu
            await pe.store(pe.xen.suspend.frozen_cpus, frozen)
        if error:
            await printk(pe, f"Error taking CPU{cpu} down: {error}")
            break
    return error


@symbol
async def enable_nonboot_cpus(pe: Pe) -> None:
    """Bring the CPUs back that disable_nonboot_cpus took down (R7); report those that stay off."""
    frozen = await pe.load(pe.xen.suspend.frozen_cpus)
    failed: list[CpuIndex] = []
    for cpu in pe.board.platform.cpus:
        if not frozen >> cpu & 1:
            continue
        error = await cpu_up(pe, cpu)
        assert error != -EBUSY, "BUG: cpu_up returned -EBUSY"
        if error:
            failed.append(cpu)
            pe.trace(CpuMissing(cpu, error))
            await printk(pe, f"Error bringing CPU{cpu} up: {error}")
    for cpu in failed:
        await cpu_notifier_call_chain(pe, cpu, CpuEvent.RESUME_FAILED)
    await pe.store(pe.xen.suspend.frozen_cpus, 0)
