"""Tasklets that run in the context of the idle vCPU (xen/common/tasklet.c)."""

from enum import IntEnum

from proto.ids import CpuIndex
from proto.image import symbol
from proto.messages import AtomicOp
from services.pcpu.pe import Pe
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq


class Tasklet(IntEnum):
    """Bits of a CPU's tasklet work word."""

    STOPMACHINE = 0
    CONTINUE_HYPERCALL = 1
    SYSTEM_SUSPEND = 2


FUNCTIONS: dict[Tasklet, str] = {
    Tasklet.STOPMACHINE: "stopmachine_action",
    Tasklet.CONTINUE_HYPERCALL: "continue_hypercall_tasklet_handler",
    Tasklet.SYSTEM_SUSPEND: "system_suspend_tasklet",
}
"""Tasklet to the symbol it runs."""


@symbol
async def tasklet_schedule_on_cpu(pe: Pe, tasklet: Tasklet, cpu: CpuIndex) -> None:
    """Queue a tasklet on a CPU, whose scheduler then prefers the idle vCPU."""
    before = await pe.atomic(AtomicOp.SET, pe.xen.percpu[cpu].tasklet_work, 1 << tasklet)
    if not before:
        await cpu_raise_softirq(pe, cpu, Softirq.SCHEDULE)


@symbol
async def do_tasklet(pe: Pe) -> None:
    """Run one queued tasklet; called from the idle loop only."""
    cell = pe.xen.percpu[pe.cpu].tasklet_work
    work = await pe.load(cell)
    if not work:
        return
    tasklet = Tasklet((work & -work).bit_length() - 1)
    await pe.atomic(AtomicOp.CLEAR, cell, 1 << tasklet)
    await pe.links[FUNCTIONS[tasklet]](pe)
    await cpu_raise_softirq(pe, pe.cpu, Softirq.SCHEDULE)


@symbol
async def migrate_tasklets_from_cpu(pe: Pe, cpu: CpuIndex) -> int:
    """Move what a dead CPU had queued to this one (CPU_DEAD)."""
    work = await pe.atomic(AtomicOp.SWAP, pe.xen.percpu[cpu].tasklet_work, 0)
    for tasklet in Tasklet:
        if work & 1 << tasklet:
            await tasklet_schedule_on_cpu(pe, tasklet, pe.cpu)
    return 0
