"""Hypercalls that go on in a tasklet on another CPU (xen/common/domain.c)."""

from enum import Enum

from proto.hypercall import Errno
from proto.ids import CpuIndex
from proto.image import symbol
from proto.psci import to_register
from services.pcpu.pe import Pe
from services.pcpu.xen.context import set_return_register
from services.pcpu.xen.domain import vcpu_pause_nosync, vcpu_sleep_sync, vcpu_unpause
from services.pcpu.xen.heap import xfree, xmalloc
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.tasklet import tasklet_init, tasklet_schedule_on_cpu

MIGRATE_INFO = "migrate_info"


class Continuation(Enum):
    """Functions a hypercall may continue with."""

    CPU_UP = "cpu_up_helper"
    CPU_DOWN = "cpu_down_helper"
    SYSTEM_SUSPEND = "system_suspend"


@symbol
async def continue_hypercall_on_cpu(
    pe: Pe, vcpu: Vcpu, cpu: CpuIndex, function: Continuation, data: int
) -> int:
    """Pause the calling vCPU and go on with a function in the idle vCPU of a CPU.

    Each vCPU has a tasklet of its own for this. -EINVAL if the CPU is not online; what is given
    otherwise is replaced by the function's result.
    """
    if not await pe.load(pe.xen.system.cpu_online_map) >> cpu & 1:
        return -Errno.EINVAL
    await xmalloc(pe, MIGRATE_INFO)
    info = pe.xen.continue_info[vcpu.index]
    tasklet = pe.xen.continue_tasklet[vcpu.index]
    address = pe.image.address(function.value)
    await pe.store_burst((info.function, info.data, info.cpu), (address, data, cpu))
    await tasklet_init(pe, tasklet, "continue_hypercall_tasklet_handler", vcpu.index)
    await vcpu_pause_nosync(pe, vcpu)
    await tasklet_schedule_on_cpu(pe, tasklet, cpu)
    return 0


@symbol
async def continue_hypercall_tasklet_handler(pe: Pe, index: int) -> None:
    """Wait until the vCPU is descheduled, run the function, hand over its result.

    -EINVAL if the tasklet has come to another CPU because its own went away.
    """
    vcpu = pe.xen.vcpus[index]
    info = pe.xen.continue_info[index]
    function, data, cpu = await pe.load_burst((info.function, info.data, info.cpu))
    await vcpu_sleep_sync(pe, vcpu)
    name = pe.image.at(function)
    assert name is not None
    result: int = await pe.links[name](pe, data) if cpu == pe.cpu else -Errno.EINVAL
    await finish_continuation(pe, vcpu, result)


@symbol
async def finish_continuation(pe: Pe, vcpu: Vcpu, result: int) -> None:
    """Hand the result over and let the calling vCPU run."""
    name = pe.image.at(await pe.load(pe.xen.continue_info[vcpu.index].function))
    assert name is not None
    await hypercall_tasklet_result(pe, vcpu, name, result)
    await xfree(pe, MIGRATE_INFO)
    await vcpu_unpause(pe, vcpu)


@symbol
async def hypercall_tasklet_result(pe: Pe, vcpu: Vcpu, function: str, result: int) -> None:
    """Write the result into the vCPU's x0, which after system suspend belongs to its context."""
    if function != Continuation.SYSTEM_SUSPEND.value:
        await set_return_register(pe, vcpu, to_register(result))


@symbol
async def hypercall_tasklet_result_always(pe: Pe, vcpu: Vcpu, function: str, result: int) -> None:
    """Published Xen writes it always (arch_hypercall_tasklet_result)."""
    await set_return_register(pe, vcpu, to_register(result))
