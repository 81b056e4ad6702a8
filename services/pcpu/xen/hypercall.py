"""The hypercall table (xen/arch/arm/traps.c, do_trap_hypercall)."""

from collections.abc import Awaitable, Callable

from proto.hypercall import Errno, Hypercall, XenVersion
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.domctl import do_domctl
from services.pcpu.xen.event_channel import do_event_channel_op
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.sched_op import do_sched_op
from services.pcpu.xen.sysctl import do_sysctl

XEN_MAJOR, XEN_MINOR = 4, 22
"""The release that the series is written against."""


@symbol
async def do_xen_version(pe: Pe, vcpu: Vcpu, args: tuple[int, ...]) -> int:
    """XENVER_version: major and minor (xen/common/kernel.c)."""
    return XEN_MAJOR << 16 | XEN_MINOR if args[0] == XenVersion.VERSION else -Errno.ENOSYS


@symbol
async def do_hypercall(pe: Pe, vcpu: Vcpu, number: int, args: tuple[int, ...]) -> int:
    """Serve a guest's hypercall; -ENOSYS for one that does not exist."""
    handler = HYPERCALLS.get(number)
    if handler is None:
        return -Errno.ENOSYS
    return await handler(pe, vcpu, args)


HYPERCALLS: dict[int, Callable[[Pe, Vcpu, tuple[int, ...]], Awaitable[int]]] = {
    Hypercall.XEN_VERSION: do_xen_version,
    Hypercall.SCHED_OP: do_sched_op,
    Hypercall.EVENT_CHANNEL_OP: do_event_channel_op,
    Hypercall.SYSCTL: do_sysctl,
    Hypercall.DOMCTL: do_domctl,
}
"""Number to the function that serves it; each gets x0-x4 and gives x0."""
