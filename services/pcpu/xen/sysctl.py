"""The toolstack's hypercalls (xen/common/sysctl.c, xen/arch/arm/sysctl.c)."""

from proto.hypercall import XEN_SYSCTL_CPU_HOTPLUG, CpuHotplug
from proto.ids import BOOT_CPU, CpuIndex
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.continue_hypercall import Continuation, continue_hypercall_on_cpu
from services.pcpu.xen.cpu import cpu_down, cpu_up
from services.pcpu.xen.errno import EINVAL, ENOSYS, EOPNOTSUPP, EPERM
from services.pcpu.xen.memory import Vcpu


@symbol
async def do_sysctl(pe: Pe, vcpu: Vcpu, operation: int, args: tuple[int, int]) -> int:
    """XEN_SYSCTL_cpu_hotplug for the hardware domain; everybody and everything else is refused.

    The result of an operation that is continued in a tasklet is written when that has finished.
    """
    if operation != XEN_SYSCTL_CPU_HOTPLUG:
        return -ENOSYS
    if not vcpu.is_hardware:
        return -EPERM
    action, cpu = args
    if cpu >= pe.board.platform.pes:
        return -EINVAL
    match action:
        case CpuHotplug.ONLINE:
            function = Continuation.CPU_UP
        case CpuHotplug.OFFLINE:
            function = Continuation.CPU_DOWN
        case _:
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
