"""Domains and vCPUs: pausing, waking, blocking (xen/common/domain.c, xen/common/sched/core.c)."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from proto.ids import CpuIndex, DomainId
from proto.image import symbol
from proto.messages import AtomicOp
from proto.traces import PauseCount
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.gic import send_sgi_event_check
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq
from services.pcpu.xen.spinlock import spin_lock_irqsave, spin_unlock_irqrestore

VPF_BLOCKED = 1 << 0
VPF_DOWN = 1 << 1
"""Bits of `vcpu.pause_flags` (xen/include/xen/sched.h)."""

SHUTDOWN_POWEROFF = 1
SHUTDOWN_CRASH = 4
"""Reasons in `domain.shutdown_code`, plus one: 0 means that the domain has not shut down."""


class Scheduled(NamedTuple):
    """What a vCPU's scheduler sees of it at one point of the memory order."""

    processor: CpuIndex
    is_running: bool
    is_runnable: bool


@symbol
async def look_at_vcpu(pe: Pe, vcpu: Vcpu) -> Scheduled:
    """A vCPU's place, whether it runs, and whether nothing keeps it from running."""
    cells = pe.xen.vcpu[vcpu.index]
    domain = pe.xen.domains[vcpu.domain]
    processor, running, *reasons = await pe.load_burst(
        (
            cells.processor,
            cells.is_running,
            cells.pause_flags,
            cells.pause_count,
            domain.pause_count,
        )
    )
    return Scheduled(CpuIndex(processor), bool(running), not any(reasons))


@symbol
async def vcpu_schedule_lock(pe: Pe, vcpu: Vcpu) -> tuple[Scheduled, bool]:
    """Take the schedule lock of the CPU a vCPU is on, IRQs masked; gives the mask to restore.

    The vCPU may move until the lock is held, so its place is looked at again under it.
    """
    seen = await look_at_vcpu(pe, vcpu)
    while True:
        lock = pe.xen.percpu[seen.processor].schedule_lock
        masked = await spin_lock_irqsave(pe, lock)
        now = await look_at_vcpu(pe, vcpu)
        if now.processor == seen.processor:
            return now, masked
        await spin_unlock_irqrestore(pe, lock, masked)
        seen = now


@symbol
async def vcpu_wake(pe: Pe, vcpu: Vcpu) -> None:
    """Let the scheduler of a vCPU's processor look at it, if it can run."""
    seen, masked = await vcpu_schedule_lock(pe, vcpu)
    if seen.is_runnable:
        await cpu_raise_softirq(pe, seen.processor, Softirq.SCHEDULE)
    await spin_unlock_irqrestore(pe, pe.xen.percpu[seen.processor].schedule_lock, masked)


@symbol
async def vcpu_sleep_nosync(pe: Pe, vcpu: Vcpu) -> None:
    """Ask a vCPU's processor to deschedule it, without waiting.

    Under the schedule lock: a scheduler that chose the vCPU before it was paused has marked it
    running by then, and one that chooses later sees the pause.
    """
    seen, masked = await vcpu_schedule_lock(pe, vcpu)
    if seen.is_running and not seen.is_runnable:
        await cpu_raise_softirq(pe, seen.processor, Softirq.SCHEDULE)
    await spin_unlock_irqrestore(pe, pe.xen.percpu[seen.processor].schedule_lock, masked)


@symbol
async def vcpu_sleep_sync(pe: Pe, vcpu: Vcpu) -> None:
    """Ask a vCPU's processor to deschedule it, and wait until its state is saved."""
    await vcpu_sleep_nosync(pe, vcpu)
    seen = await look_at_vcpu(pe, vcpu)
    while seen.is_running and not seen.is_runnable:
        await pe.wfe(pe.xen.vcpu[vcpu.index].is_running, 1)
        seen = await look_at_vcpu(pe, vcpu)


@symbol
async def vcpu_block_unless_event_pending(pe: Pe, vcpu: Vcpu) -> None:
    """Block the current vCPU until an interrupt is injected, unless one already is."""
    flags = pe.xen.vcpu[vcpu.index].pause_flags
    await pe.atomic(AtomicOp.SET, flags, VPF_BLOCKED)
    # The flag first: an interrupt injected from here on finds it and takes it back.
    if await pe.links["local_events_need_delivery"](pe, vcpu):
        await pe.atomic(AtomicOp.CLEAR, flags, VPF_BLOCKED)
    else:
        await cpu_raise_softirq(pe, pe.cpu, Softirq.SCHEDULE)


@symbol
async def vcpu_unblock(pe: Pe, vcpu: Vcpu) -> None:
    """Take the block back and wake the vCPU if there was one."""
    flags = pe.xen.vcpu[vcpu.index].pause_flags
    if await pe.atomic(AtomicOp.CLEAR, flags, VPF_BLOCKED) & VPF_BLOCKED:
        await vcpu_wake(pe, vcpu)


@symbol
async def vcpu_kick(pe: Pe, vcpu: Vcpu) -> None:
    """Make a vCPU notice a pending interrupt (xen/arch/arm/domain.c)."""
    await vcpu_unblock(pe, vcpu)
    if vcpu is pe.current:
        return
    cells = pe.xen.vcpu[vcpu.index]
    running, processor = await pe.load_burst((cells.is_running, cells.processor))
    if running and processor != pe.cpu:
        await send_sgi_event_check(pe, CpuIndex(processor))


@symbol
async def vcpu_pause_nosync(pe: Pe, vcpu: Vcpu) -> None:
    """Count one more reason not to run a vCPU, without waiting for it to stop."""
    await pe.fetch_add(pe.xen.vcpu[vcpu.index].pause_count, 1)
    await vcpu_sleep_nosync(pe, vcpu)


@symbol
async def vcpu_unpause(pe: Pe, vcpu: Vcpu) -> None:
    """Take one reason away, and wake the vCPU with the last."""
    if await pe.fetch_add(pe.xen.vcpu[vcpu.index].pause_count, -1) == 1:
        await vcpu_wake(pe, vcpu)


@symbol
async def domain_pause(pe: Pe, domain: DomainId) -> None:
    """Count one more reason not to run a domain, and wait until none of its vCPUs runs."""
    await do_domain_pause(pe, domain, vcpu_sleep_sync)


@symbol
async def domain_pause_nosync(pe: Pe, domain: DomainId) -> None:
    """Count one more reason not to run a domain, without waiting."""
    await do_domain_pause(pe, domain, vcpu_sleep_nosync)


@symbol
async def do_domain_pause(
    pe: Pe, domain: DomainId, sleep: Callable[[Pe, Vcpu], Awaitable[None]]
) -> None:
    """Count the reason first, then put every vCPU to sleep."""
    before = await pe.fetch_add(pe.xen.domains[domain].pause_count, 1)
    pe.trace(PauseCount(domain, before + 1))
    for vcpu in pe.xen.vcpus_of(domain):
        await sleep(pe, vcpu)


@symbol
async def domain_unpause(pe: Pe, domain: DomainId) -> None:
    """Take one reason away, and wake the domain's vCPUs with the last."""
    before = await pe.fetch_add(pe.xen.domains[domain].pause_count, -1)
    pe.trace(PauseCount(domain, before - 1))
    if before == 1:
        for vcpu in pe.xen.vcpus_of(domain):
            await vcpu_wake(pe, vcpu)


@symbol
async def domain_crash(pe: Pe, domain: DomainId, why: str) -> None:
    """Stop a domain for good because it did what no domain may."""
    await printk(pe, f"domain_crash d{domain}: {why}")
    await pe.store(pe.xen.domains[domain].shutdown_code, SHUTDOWN_CRASH)
    await domain_pause_nosync(pe, domain)


@symbol
async def domain_shutdown(pe: Pe, domain: DomainId, is_hardware: bool) -> None:
    """Stop a domain that switches itself off; with the hardware domain goes the machine."""
    if is_hardware:
        await printk(pe, "Hardware Dom0 halted: halting machine")
        await pe.links["call_psci_system_off"](pe)
    await pe.store(pe.xen.domains[domain].shutdown_code, SHUTDOWN_POWEROFF)
    await domain_pause_nosync(pe, domain)
