"""Bringing secondaries up and down on Arm (xen/arch/arm/smpboot.c)."""

from proto.hypercall import Errno
from proto.ids import CpuIndex
from proto.image import symbol
from proto.messages import AtomicOp
from proto.psci import PsciError, error_name
from proto.traces import Online
from proto.units import MS, S
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.gic_v2 import gic_disable_cpu
from services.pcpu.xen.mm import set_init_ttbr, update_identity_mapping
from services.pcpu.xen.psci import call_psci_cpu_off, call_psci_cpu_on, psci_cpu_is_off
from services.pcpu.xen.softirq import process_pending_softirqs

CPU_UP_LIMIT_NS = 1 * S
"""How long __cpu_up waits for a secondary."""

CPU_DIE_POLL_NS = 100 * MS
"""How often __cpu_die looks at cpu_is_dead."""

DRAIN_NS = 1 * MS
"""How long a dying CPU opens its IRQs for what is still queued."""

AFFINITY_POLL_NS = 1 * MS
AFFINITY_LIMIT_NS = 100 * MS
"""How often and how long arch_cpu_die asks firmware whether the CPU is off."""

NO_CPU = 0xFFFF_FFFF
"""Value of smp_up_cpu that opens the gate for nobody."""


@symbol
async def arch_cpu_up(pe: Pe, cpu: CpuIndex) -> int:
    """Hand a secondary its stack and number, turn it on and wait until it is online (__cpu_up)."""
    system = pe.xen.system
    await update_identity_mapping(pe, True)
    await set_init_ttbr(pe)
    await pe.store_burst(
        (system.init_data_cpuid, system.init_data_stack, system.smp_up_cpu),
        (cpu, _stack(cpu), pe.board.platform.mpidrs[cpu]),
    )
    # Read with the MMU off: clean_dcache, which has this barrier.
    await pe.dsb_ishst()
    error = await call_psci_cpu_on(pe, cpu)
    if error != PsciError.SUCCESS:
        await printk(pe, f"CPU{cpu} failed to boot: {error} ({error_name(error)})")
    else:
        await _wait_online(pe, cpu)
    # Take the hand-over back: a CPU that comes later must not find another one's.
    await pe.store_burst(
        (system.init_data_stack, system.init_data_cpuid, system.smp_up_cpu), (0, NO_CPU, NO_CPU)
    )
    await pe.dsb_ishst()
    if error == PsciError.SUCCESS and not await pe.load(system.cpu_online_map) >> cpu & 1:
        await printk(pe, f"CPU{cpu} never came online")
        error = -Errno.EIO
    await update_identity_mapping(pe, False)
    return error


def _stack(cpu: CpuIndex) -> int:
    """Top of a CPU's stack, which lives in its per-CPU area."""
    return 0x10000 * (cpu + 1)


async def _wait_online(pe: Pe, cpu: CpuIndex) -> None:
    """Wait up to a second for a CPU's bit in the online map."""
    cell = pe.xen.system.cpu_online_map
    deadline_ns = pe.now + CPU_UP_LIMIT_NS
    seen: int | None = await pe.load(cell)
    while seen is not None and not seen >> cpu & 1:
        seen = await pe.wfe_until(cell, seen, deadline_ns)


@symbol
async def set_cpu_online(pe: Pe, cpu: CpuIndex, online: bool) -> None:
    """Change this CPU's bit of cpu_online_map."""
    operation = AtomicOp.SET if online else AtomicOp.CLEAR
    # In the turn that sends the change: another CPU may see it before this one has its answer.
    pe.trace(Online(cpu, online))
    await pe.atomic(operation, pe.xen.system.cpu_online_map, 1 << cpu, relaxed=True)


@symbol
async def arch_cpu_disable(pe: Pe) -> None:
    """Take this CPU's interface and its place in the online map away (__cpu_disable)."""
    await gic_disable_cpu(pe)
    # Allow any interrupt that was already taken off the interface to be served.
    await pe.irq_enable()
    await pe.delay(DRAIN_NS)
    await pe.irq_disable()
    await set_cpu_online(pe, pe.cpu, False)
    await pe.smp_mb()


@symbol
async def arch_cpu_disable_drain_first(pe: Pe) -> None:
    """Drain while the interface is still open: work may be added behind the drain (29555668b5)."""
    await pe.irq_enable()
    await pe.delay(DRAIN_NS)
    await pe.irq_disable()
    await gic_disable_cpu(pe)
    await set_cpu_online(pe, pe.cpu, False)
    await pe.smp_mb()


@symbol
async def stop_cpu(pe: Pe) -> None:
    """The end of a CPU that is offline: say so, then turn off."""
    await pe.irq_disable()
    await pe.store(pe.xen.system.cpu_is_dead, 1)
    await pe.barrier()
    await call_psci_cpu_off(pe)


@symbol
async def arch_cpu_die(pe: Pe, cpu: CpuIndex) -> int:
    """Wait until a CPU says that it is dead, then make sure (__cpu_die).

    The CPU says so before CPU_OFF: it does not mean that firmware has turned it off.
    """
    flag = pe.xen.system.cpu_is_dead
    polls = 0
    while not await pe.load(flag):
        await pe.delay(CPU_DIE_POLL_NS)
        await process_pending_softirqs(pe)
        polls += 1
        if polls % 10 == 0:
            await printk(pe, f"CPU {cpu} still not dead...")
    await pe.store(flag, 0)
    await pe.smp_mb()
    return await cpu_kill(pe, cpu)


@symbol
async def cpu_kill(pe: Pe, cpu: CpuIndex) -> int:
    """Poll AFFINITY_INFO until OFF; -ETIMEDOUT if firmware does not say so within the limit."""
    deadline_ns = pe.now + AFFINITY_LIMIT_NS
    while not await psci_cpu_is_off(pe, cpu):
        if pe.now >= deadline_ns:
            await printk(pe, f"CPU{cpu} did not turn off within {AFFINITY_LIMIT_NS // MS} ms")
            return -Errno.ETIMEDOUT
        await pe.delay(AFFINITY_POLL_NS)
    return 0


@symbol
async def cpu_kill_believed(pe: Pe, cpu: CpuIndex) -> int:
    """Published Xen believes the flag and does not ask firmware."""
    return 0
