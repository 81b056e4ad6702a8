"""Run a function on one CPU while all others spin with IRQs off (xen/common/stop_machine.c)."""

from enum import IntEnum

from proto.hypercall import Errno
from proto.ids import CpuIndex
from proto.image import symbol
from proto.psci import from_register
from services.pcpu.pe import Pe
from services.pcpu.xen.spinlock import spin_trylock, spin_unlock
from services.pcpu.xen.tasklet import tasklet_init, tasklet_schedule_on_cpu


class StopMachineState(IntEnum):
    """States that all CPUs walk through together."""

    IDLE = 0
    PREPARE = 1
    DISABLE_IRQ = 2
    INVOKE = 3
    EXIT = 4


@symbol
async def stop_machine_run(pe: Pe, function: str, cpu: CpuIndex) -> int:
    """Run a symbol on one CPU while every online CPU stands still; gives its result.

    -EBUSY if another stop_machine is under way.
    """
    data = pe.xen.stop_machine
    if not await spin_trylock(pe, data.lock):
        return -Errno.EBUSY
    online = await pe.load(pe.xen.system.cpu_online_map)
    others = [other for other in pe.board.platform.cpus if online >> other & 1 and other != pe.cpu]
    await pe.store_burst(
        (data.nr_cpus, data.fn, data.fn_cpu, data.done, data.result, data.state),
        (len(others), pe.image.address(function), cpu, 0, 0, StopMachineState.PREPARE),
    )
    await pe.smp_wmb()
    for other in others:
        await tasklet_schedule_on_cpu(pe, pe.xen.stopmachine_tasklet[other], other)
    await stopmachine_wait_state(pe, len(others))
    await pe.irq_disable()
    await stopmachine_set_state(pe, StopMachineState.DISABLE_IRQ, len(others))
    await stopmachine_set_state(pe, StopMachineState.INVOKE, len(others))
    result = from_register(await pe.load(data.result))
    await stopmachine_set_state(pe, StopMachineState.EXIT, len(others))
    await pe.store(data.state, StopMachineState.IDLE)
    await pe.irq_enable()
    await spin_unlock(pe, data.lock)
    return result


@symbol
async def stopmachine_set_state(pe: Pe, state: StopMachineState, others: int) -> None:
    """Move every CPU to a state and wait until all are there."""
    data = pe.xen.stop_machine
    await pe.publish((data.done, data.state), (0, state))
    await stopmachine_wait_state(pe, others)


@symbol
async def stopmachine_wait_state(pe: Pe, others: int) -> None:
    """Wait until every other CPU has reached the current state."""
    done = pe.xen.stop_machine.done
    seen = await pe.load(done)
    while seen != others:
        seen = await pe.wfe(done, seen)


@symbol
async def stopmachine_tasklet_init(pe: Pe, cpu: CpuIndex) -> int:
    """Make the tasklet that holds a CPU (CPU_UP_PREPARE, and at boot for the boot CPU)."""
    await tasklet_init(pe, pe.xen.stopmachine_tasklet[cpu], "stopmachine_action", cpu)
    return 0


@symbol
async def stopmachine_action(pe: Pe, cpu: int) -> None:
    """What the other CPUs do, in their tasklet: follow the states until the exit."""
    data = pe.xen.stop_machine
    state: int = StopMachineState.IDLE
    await pe.smp_mb()
    while state != StopMachineState.EXIT:
        state = await pe.wfe(data.state, state)
        if state == StopMachineState.DISABLE_IRQ:
            await pe.irq_disable()
        elif state == StopMachineState.INVOKE:
            function, target = await pe.load_burst((data.fn, data.fn_cpu))
            if target == pe.cpu:
                name = pe.image.at(function)
                assert name is not None
                await pe.store(data.result, await pe.links[name](pe))
        await pe.smp_mb()
        await pe.fetch_add(data.done, 1, relaxed=True)
    await pe.irq_enable()
