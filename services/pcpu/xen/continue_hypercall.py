"""Hypercalls that go on in a tasklet on another CPU (xen/common/domain.c)."""

from enum import Enum

from proto.ids import CpuIndex
from proto.image import symbol
from proto.messages import AtomicOp
from proto.psci import to_register
from services.pcpu.pe import Pe
from services.pcpu.xen.context import set_return_register
from services.pcpu.xen.domain import vcpu_pause_nosync, vcpu_sleep_sync, vcpu_unpause
from services.pcpu.xen.errno import EBUSY
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.tasklet import Tasklet, tasklet_schedule_on_cpu


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

    -EBUSY if another vCPU's hypercall is being continued.
    """
    info = pe.xen.continue_info
    if await pe.compare_and_swap(info.busy, 0, 1):
        return -EBUSY
    address = pe.image.address(function.value)
    await pe.store_burst((info.function, info.data, info.vcpu), (address, data, vcpu.index))
    await vcpu_pause_nosync(pe, vcpu)
    await tasklet_schedule_on_cpu(pe, Tasklet.CONTINUE_HYPERCALL, cpu)
    return 0


@symbol
async def continue_hypercall_tasklet_handler(pe: Pe) -> None:
    """Wait until the vCPU is descheduled, run the function, hand over its result."""
    info = pe.xen.continue_info
    function, data, index = await pe.load_burst((info.function, info.data, info.vcpu))
    await vcpu_sleep_sync(pe, pe.xen.vcpus[index])
    name = pe.image.at(function)
    assert name is not None
    result: int = await pe.links[name](pe, data)
    await finish_continuation(pe, result)


@symbol
async def finish_continuation(pe: Pe, result: int) -> None:
    """Hand the result over and let the calling vCPU run."""
    info = pe.xen.continue_info
    function, index = await pe.load_burst((info.function, info.vcpu))
    vcpu = pe.xen.vcpus[index]
    name = pe.image.at(function)
    assert name is not None
    await hypercall_tasklet_result(pe, vcpu, name, result)
    await pe.atomic(AtomicOp.SWAP, info.busy, 0)
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
