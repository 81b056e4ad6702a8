"""The toolstack's hypercalls (xen/common/sysctl.c, xen/arch/arm/sysctl.c)."""

from collections.abc import Awaitable, Callable

from proto.hypercall import SYSCTL_CPU_HOTPLUG, CpuHotplug, Sysctl
from proto.ids import BOOT_CPU, CpuIndex
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.continue_hypercall import Continuation, continue_hypercall_on_cpu
from services.pcpu.xen.cpu import cpu_down, cpu_up
from services.pcpu.xen.errno import EINVAL, ENOSYS, EOPNOTSUPP, EPERM
from services.pcpu.xen.guest_access import copy_from_guest
from services.pcpu.xen.memory import Vcpu


@symbol
async def do_sysctl(pe: Pe, vcpu: Vcpu, args: tuple[int, ...]) -> int:
    """Serve a toolstack's call; the structure that x0 points to begins with the operation."""
    if not vcpu.is_hardware:
        return -EPERM
    (operation,) = await copy_from_guest(pe, vcpu, args[0], 1)
    handler = SYSCTLS.get(operation)
    if handler is None:
        return -ENOSYS
    return await handler(pe, vcpu, args[0])


@symbol
async def arch_do_sysctl_cpu_hotplug(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """XEN_SYSCTL_cpu_hotplug, which goes on in a tasklet; its result is written at the end."""
    _, cpu, operation = await copy_from_guest(pe, vcpu, address, len(SYSCTL_CPU_HOTPLUG))
    if cpu >= pe.board.platform.pes:
        return -EINVAL
    function = HOTPLUG_FUNCTIONS.get(operation)
    if function is None:
        return -EOPNOTSUPP
    return await continue_hypercall_on_cpu(pe, vcpu, BOOT_CPU, function, cpu)


@symbol
async def cpu_up_helper(pe: Pe, cpu: int) -> int:
    """cpu_up in the tasklet."""
    return await cpu_up(pe, CpuIndex(cpu))


@symbol
async def cpu_down_helper(pe: Pe, cpu: int) -> int:
    """cpu_down in the tasklet."""
    return await cpu_down(pe, CpuIndex(cpu))


HOTPLUG_FUNCTIONS: dict[int, Continuation] = {
    CpuHotplug.ONLINE: Continuation.CPU_UP,
    CpuHotplug.OFFLINE: Continuation.CPU_DOWN,
}
"""Operation of XEN_SYSCTL_cpu_hotplug to what carries it out."""

SYSCTLS: dict[int, Callable[[Pe, Vcpu, int], Awaitable[int]]] = {
    Sysctl.CPU_HOTPLUG: arch_do_sysctl_cpu_hotplug,
}
"""Operation to its function, which gets the address of the structure."""
