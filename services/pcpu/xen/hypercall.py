"""The hypercall table (xen/arch/arm/traps.c, do_trap_hypercall)."""

from collections.abc import Awaitable, Callable

from proto.hypercall import Errno, Hypercall
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.sysctl import do_sysctl

HYPERCALLS: dict[int, Callable[[Pe, Vcpu, tuple[int, ...]], Awaitable[int]]] = {
    Hypercall.SYSCTL: do_sysctl,
}
"""Number to the function that serves it; each gets x0-x4 and gives x0."""


@symbol
async def do_hypercall(pe: Pe, vcpu: Vcpu, number: int, args: tuple[int, ...]) -> int:
    """Serve a guest's hypercall; -ENOSYS for one that does not exist."""
    handler = HYPERCALLS.get(number)
    if handler is None:
        return -Errno.ENOSYS
    return await handler(pe, vcpu, args)
