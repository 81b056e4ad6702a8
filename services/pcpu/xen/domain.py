"""Domains and vCPUs: pause, wake, shut down, resume (xen/common/domain.c, sched/core.c)."""

from typing import NamedTuple

from proto.hypercall import Errno, ShutdownReason, Virq
from proto.ids import CpuIndex, DomainId
from proto.image import symbol
from proto.messages import AtomicOp
from proto.traces import DomainShutdown, PauseCount
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.gic import send_sgi_event_check
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.shutdown import hwdom_shutdown
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq
from services.pcpu.xen.spinlock import (
    spin_lock,
    spin_lock_irqsave,
    spin_unlock,
    spin_unlock_irqrestore,
)

VPF_BLOCKED = 1 << 0
VPF_DOWN = 1 << 1
"""Bits of `vcpu.pause_flags` (xen/include/xen/sched.h)."""


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
        await pe.links["sched_wake"](pe, vcpu, seen.processor)
    await spin_unlock_irqrestore(pe, pe.xen.percpu[seen.processor].schedule_lock, masked)


@symbol
async def vcpu_sleep_nosync(pe: Pe, vcpu: Vcpu) -> None:
    """Ask a vCPU's processor to deschedule it, without waiting.

    Under the schedule lock: a scheduler that chose the vCPU before it was paused has marked it
    running by then, and one that chooses later sees the pause.
    """
    seen, masked = await vcpu_schedule_lock(pe, vcpu)
    if not seen.is_runnable:
        await pe.links["sched_sleep"](pe, vcpu, seen.processor)
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
    await pe.atomic(AtomicOp.SET, flags, VPF_BLOCKED, relaxed=True)
    await pe.smp_mb()
    # The flag first: an interrupt injected from here on finds it and takes it back.
    if await pe.links["local_events_need_delivery"](pe, vcpu):
        await pe.atomic(AtomicOp.CLEAR, flags, VPF_BLOCKED, relaxed=True)
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
    await pe.fetch_add(pe.xen.vcpu[vcpu.index].pause_count, 1, relaxed=True)
    await vcpu_sleep_nosync(pe, vcpu)


@symbol
async def vcpu_unpause(pe: Pe, vcpu: Vcpu) -> None:
    """Take one reason away, and wake the vCPU with the last."""
    if await pe.fetch_add(pe.xen.vcpu[vcpu.index].pause_count, -1) == 1:
        await vcpu_wake(pe, vcpu)


@symbol
async def domain_pause(pe: Pe, domain: DomainId) -> None:
    """Count one more reason not to run a domain, and wait until none of its vCPUs runs."""
    before = await pe.fetch_add(pe.xen.domains[domain].pause_count, 1, relaxed=True)
    pe.trace(PauseCount(domain, before + 1))
    for vcpu in pe.xen.vcpus_of(domain):
        await vcpu_sleep_sync(pe, vcpu)


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
    await domain_shutdown(pe, domain, ShutdownReason.CRASH)


# -- shutdown and resume


@symbol
async def domain_shutdown(pe: Pe, domain: DomainId, reason: ShutdownReason) -> int:
    """Shut a domain down for a reason; the first reason stays. Gives 0.

    The domain is in progress until each of its vCPUs is paused, then complete. With a hardware
    domain that ends goes the machine.
    """
    cells = pe.xen.domains[domain]
    await spin_lock(pe, cells.shutdown_lock)
    before = await pe.compare_and_swap(cells.shutdown_code, 0, reason + 1)
    code = ShutdownReason(before - 1) if before else reason
    if pe.xen.vcpus_of(domain)[0].is_hardware:
        await hwdom_shutdown(pe, domain, code)
    if not await pe.load(cells.is_shutting_down):
        await pe.store(cells.is_shutting_down, 1)
        await pe.smp_mb()
        pe.trace(DomainShutdown(domain, "in_progress", code.name.lower()))
        for vcpu in pe.xen.vcpus_of(domain):
            await vcpu_pause_nosync(pe, vcpu)
            await pe.store(pe.xen.vcpu[vcpu.index].paused_for_shutdown, 1)
        await domain_finalise_shutdown(pe, domain, code)
    await spin_unlock(pe, cells.shutdown_lock)
    return 0


@symbol
async def domain_finalise_shutdown(pe: Pe, domain: DomainId, code: ShutdownReason) -> None:
    """Every vCPU is paused for the shutdown: it is complete, and the toolstack hears of it.

    Source: xen/common/domain.c, __domain_finalise_shutdown.
    """
    cells = pe.xen.domains[domain]
    # In the turn that sends the change: another CPU may act on it before this one has its answer.
    pe.trace(DomainShutdown(domain, "complete", code.name.lower()))
    await pe.store(cells.is_shut_down, 1)
    port = await pe.load(cells.suspend_evtchn)
    if code is ShutdownReason.SUSPEND and port:
        await pe.links["evtchn_send"](pe, domain, port)
    else:
        await pe.links["send_global_virq"](pe, Virq.DOM_EXC)


@symbol
async def domain_resume(pe: Pe, domain: DomainId) -> None:
    """Take a shutdown back: the domain goes on at its resume entry, or behind its hypercall.

    Waits until no vCPU of it runs: one that is still inside SYSTEM_SUSPEND has not attached its
    resume context. Source: xen/common/domain.c; xen/arch/arm/domain.c, arch_domain_resume.
    """
    cells = pe.xen.domains[domain]
    await domain_pause(pe, domain)
    await spin_lock(pe, cells.shutdown_lock)
    await pe.store_burst((cells.is_shutting_down, cells.is_shut_down), (0, 0))
    await pe.links["arch_domain_resume"](pe, domain)
    pe.trace(DomainShutdown(domain, "none"))
    await pe.store(cells.shutdown_code, 0)
    for vcpu in pe.xen.vcpus_of(domain):
        paused = pe.xen.vcpu[vcpu.index].paused_for_shutdown
        if await pe.atomic(AtomicOp.SWAP, paused, 0):
            await vcpu_unpause(pe, vcpu)
    await spin_unlock(pe, cells.shutdown_lock)
    await domain_unpause(pe, domain)


@symbol
async def shutdown_state(pe: Pe, domain: DomainId) -> tuple[bool, bool, ShutdownReason | None]:
    """Whether a domain is shutting down, whether it has shut down, and why."""
    cells = pe.xen.domains[domain]
    shutting, shut, code = await pe.load_burst(
        (cells.is_shutting_down, cells.is_shut_down, cells.shutdown_code)
    )
    return bool(shutting), bool(shut), ShutdownReason(code - 1) if code else None


# -- pausing by a toolstack


@symbol
async def domain_pause_by_systemcontroller(pe: Pe, domain: DomainId) -> int:
    """Pause a domain for a toolstack; these pauses are counted apart, so that they pair up."""
    await pe.fetch_add(pe.xen.domains[domain].controller_pause_count, 1)
    await domain_pause(pe, domain)
    return 0


@symbol
async def domain_unpause_by_systemcontroller(pe: Pe, domain: DomainId) -> int:
    """Take a toolstack's pause back; -EINVAL if there is none."""
    count = pe.xen.domains[domain].controller_pause_count
    seen = await pe.load(count)
    while seen:
        before = await pe.compare_and_swap(count, seen, seen - 1)
        if before == seen:
            await domain_unpause(pe, domain)
            return 0
        seen = before
    return -Errno.EINVAL
