"""SCHED_OP: what a domain asks of its scheduler (xen/common/sched/core.c, do_sched_op)."""

from collections.abc import Awaitable, Callable

from proto.hypercall import (
    SCHED_REMOTE_SHUTDOWN,
    SCHED_SHUTDOWN,
    SCHED_WATCHDOG,
    Errno,
    SchedOp,
    ShutdownReason,
)
from proto.ids import DomainId
from proto.image import symbol
from proto.psci import MASK_32
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import domain_shutdown, vcpu_block_unless_event_pending
from services.pcpu.xen.guest_access import copy_from_guest
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.softirq import Softirq, raise_softirq


@symbol
async def do_sched_op(pe: Pe, vcpu: Vcpu, args: tuple[int, ...]) -> int:
    """Serve SCHED_OP; -ENOSYS for operations that do not exist here."""
    operation = SCHED_OPS.get(args[0])
    return -Errno.ENOSYS if operation is None else await operation(pe, vcpu, args[1])


@symbol
async def sched_yield(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """SCHEDOP_yield: let others run."""
    await raise_softirq(pe, Softirq.SCHEDULE)
    return 0


@symbol
async def sched_block(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """SCHEDOP_block: wait for an event."""
    await vcpu_block_unless_event_pending(pe, vcpu)
    return 0


@symbol
async def sched_shutdown(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """SCHEDOP_shutdown: the domain ends, or suspends without a resume context."""
    (reason,) = await copy_from_guest(pe, vcpu, address, len(SCHED_SHUTDOWN))
    if reason not in REASONS:
        return -Errno.EINVAL
    return await domain_shutdown(pe, vcpu.domain, ShutdownReason(reason))


@symbol
async def sched_remote_shutdown(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """SCHEDOP_remote_shutdown: a control domain ends another domain."""
    domain, reason = await copy_from_guest(pe, vcpu, address, len(SCHED_REMOTE_SHUTDOWN))
    if domain not in pe.xen.domains:
        return -Errno.ESRCH
    if not vcpu.is_control:
        return -Errno.EPERM
    if reason not in REASONS:
        return -Errno.EINVAL
    return await domain_shutdown(pe, DomainId(domain), ShutdownReason(reason))


@symbol
async def sched_watchdog(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """SCHEDOP_watchdog: set, pat or stop a watchdog of the domain. Both fields have 32 bits."""
    timer, timeout_s = (
        field & MASK_32 for field in await copy_from_guest(pe, vcpu, address, len(SCHED_WATCHDOG))
    )
    error: int = await pe.links["domain_watchdog"](pe, vcpu.domain, timer, timeout_s)
    return error


REASONS = frozenset(ShutdownReason)

SCHED_OPS: dict[int, Callable[[Pe, Vcpu, int], Awaitable[int]]] = {
    SchedOp.YIELD: sched_yield,
    SchedOp.BLOCK: sched_block,
    SchedOp.SHUTDOWN: sched_shutdown,
    SchedOp.REMOTE_SHUTDOWN: sched_remote_shutdown,
    SchedOp.WATCHDOG: sched_watchdog,
}
"""Operation to its function, which gets the address of the structure."""
