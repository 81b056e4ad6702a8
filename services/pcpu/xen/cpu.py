"""CPU hotplug: notifiers, cpu_down, cpu_up, the non-boot CPUs (xen/common/cpu.c)."""

from proto.hypercall import Errno
from proto.ids import BOOT_CPU, CpuIndex
from proto.image import symbol
from proto.traces import CpuMissing, FrozenCpus
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.notifier import CpuEvent, cpu_notifier_call_chain
from services.pcpu.xen.psci import bug
from services.pcpu.xen.rcupdate import rcu_barrier
from services.pcpu.xen.smpboot import arch_cpu_die, arch_cpu_disable, arch_cpu_up
from services.pcpu.xen.spinlock import spin_trylock, spin_unlock
from services.pcpu.xen.stop_machine import stop_machine_run


@symbol
async def cpu_down(pe: Pe, cpu: CpuIndex) -> int:
    """Take a CPU down; 0, -EINVAL for one that cannot, -EBUSY, or what a notifier refused with."""
    system = pe.xen.system
    if not await spin_trylock(pe, system.cpu_hotplug_lock):
        return -Errno.EBUSY
    error = -Errno.EINVAL
    if cpu != BOOT_CPU and await pe.load(system.cpu_online_map) >> cpu & 1:
        error = await _cpu_down(pe, cpu)
    await spin_unlock(pe, system.cpu_hotplug_lock)
    return error


async def _cpu_down(pe: Pe, cpu: CpuIndex) -> int:
    await rcu_barrier(pe)
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
        return -Errno.EBUSY
    error = -Errno.EEXIST
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
        if error == -Errno.EBUSY:
            await bug(pe, "cpu_down returned -EBUSY in disable_nonboot_cpus")
        if not await pe.load(pe.xen.system.cpu_online_map) >> cpu & 1:
            frozen |= 1 << cpu
            await set_frozen_cpus(pe, frozen)
        if error:
            await printk(pe, f"Error taking CPU{cpu} down: {error}")
            break
    return error


@symbol
async def enable_nonboot_cpus(pe: Pe) -> None:
    """Bring the CPUs back that disable_nonboot_cpus took down (R7); report those that stay off.

    The barrier first: what waits to be freed must be gone before a CPU comes up again.
    """
    await rcu_barrier(pe)
    frozen = await pe.load(pe.xen.suspend.frozen_cpus)
    failed: list[CpuIndex] = []
    for cpu in pe.board.platform.cpus:
        if not frozen >> cpu & 1:
            continue
        error = await cpu_up(pe, cpu)
        if error == -Errno.EBUSY:
            await bug(pe, "cpu_up returned -EBUSY in enable_nonboot_cpus")
        if error:
            failed.append(cpu)
            pe.trace(CpuMissing(cpu, error))
            await printk(pe, f"Error bringing CPU{cpu} up: {error}")
    for cpu in failed:
        await cpu_notifier_call_chain(pe, cpu, CpuEvent.RESUME_FAILED)
    await set_frozen_cpus(pe, 0)


@symbol
async def set_frozen_cpus(pe: Pe, mask: int) -> None:
    """Remember the CPUs that system suspend has taken down."""
    await pe.store(pe.xen.suspend.frozen_cpus, mask)
    pe.trace(FrozenCpus(mask))


@symbol
async def take_cpu_down(pe: Pe) -> int:
    """What the CPU that goes does inside stop_machine; gives what a callback refused with."""
    error = await cpu_notifier_call_chain(pe, pe.cpu, CpuEvent.DYING)
    if not error:
        await arch_cpu_disable(pe)
    return error
