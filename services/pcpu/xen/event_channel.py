"""Event channels, as far as suspend uses them (xen/common/event_channel.c).

A port is bound when it is allocated. Pending ports are a word of the domain's shared-info page,
which the guest takes with a swap.
"""

from collections.abc import Awaitable, Callable

from proto.cells import Cell
from proto.hypercall import (
    EVTCHN_ALLOC_UNBOUND,
    EVTCHN_BIND_VIRQ,
    EVTCHN_PPI,
    EVTCHN_SEND,
    SHARED_PENDING,
    STORE_PORT,
    WORD,
    Errno,
    EvtchnOp,
    Virq,
)
from proto.ids import DomainId
from proto.image import symbol
from proto.messages import AtomicOp
from proto.platform import DOMAINS_MAX, SHARED_INFO, SHARED_SIZE
from proto.traces import EventRaised
from services.pcpu.pe import Pe
from services.pcpu.xen.guest_access import copy_from_guest, copy_to_guest
from services.pcpu.xen.memory import (
    EVTCHN_PORTS,
    EVTCHN_REMOTE_SHIFT,
    HARDWARE_DOMAIN,
    Vcpu,
    ioremap,
)
from services.pcpu.xen.vgic import vgic_inject_irq

FREE = 0
FIRST_DYNAMIC = STORE_PORT + DOMAINS_MAX
"""Ports below are those of the store."""


def other_end(domain: int, port: int) -> int:
    """What a port's cell holds."""
    return port << EVTCHN_REMOTE_SHIFT | domain + 1


def shared_pending(domain: int) -> Cell:
    """The word of pending ports in a domain's shared-info page."""
    return Cell(ioremap(SHARED_INFO + domain * SHARED_SIZE + SHARED_PENDING))


@symbol
async def do_event_channel_op(pe: Pe, vcpu: Vcpu, args: tuple[int, ...]) -> int:
    """Serve EVENT_CHANNEL_OP; -ENOSYS for operations that suspend does not need."""
    operation = EVTCHN_OPS.get(args[0])
    result = -Errno.ENOSYS if operation is None else await operation(pe, vcpu, args[1])
    # Ports are bound without the event lock here, whose release has this barrier.
    await pe.smp_mb()
    return result


@symbol
async def evtchn_bind_virq(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """EVTCHNOP_bind_virq: VIRQ_DOM_EXC, for control domains only."""
    virq, _, _ = await copy_from_guest(pe, vcpu, address, len(EVTCHN_BIND_VIRQ))
    if virq != Virq.DOM_EXC:
        return -Errno.EINVAL
    if not vcpu.is_control:
        return -Errno.EPERM
    cells = pe.xen.domains[vcpu.domain]
    if await pe.load(cells.dom_exc_port):
        return -Errno.EEXIST
    port = await evtchn_allocate(pe, vcpu.domain, vcpu.domain)
    if port > 0:
        await pe.store(cells.dom_exc_port, port)
        await copy_to_guest(pe, vcpu, address + 2 * WORD, (port,))
    return min(port, 0)


@symbol
async def evtchn_alloc_unbound(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """EVTCHNOP_alloc_unbound: a port of the caller that another domain may raise."""
    _, remote, _ = await copy_from_guest(pe, vcpu, address, len(EVTCHN_ALLOC_UNBOUND))
    if remote not in pe.xen.domains:
        return -Errno.ESRCH
    port = await evtchn_allocate(pe, vcpu.domain, DomainId(remote))
    if port > 0:
        await copy_to_guest(pe, vcpu, address + 2 * WORD, (port,))
    return min(port, 0)


@symbol
async def evtchn_allocate(pe: Pe, domain: DomainId, remote: DomainId) -> int:
    """Take the first free port of a domain and bind it; -ENOSPC if there is none."""
    for port, cell in enumerate(pe.xen.domains[domain].evtchn_remote):
        if port < FIRST_DYNAMIC:
            continue
        if await pe.compare_and_swap(cell, FREE, other_end(remote, port)) == FREE:
            return port
    return -Errno.ENOSPC


@symbol
async def evtchn_op_send(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """EVTCHNOP_send: raise the other end of one of the caller's ports."""
    (port,) = await copy_from_guest(pe, vcpu, address, len(EVTCHN_SEND))
    if not 0 < port < EVTCHN_PORTS:
        return -Errno.EINVAL
    return await evtchn_send(pe, vcpu.domain, port)


@symbol
async def evtchn_send(pe: Pe, domain: DomainId, port: int) -> int:
    """Raise the other end of a domain's port; -EINVAL if it is free."""
    remote = await pe.load(pe.xen.domains[domain].evtchn_remote[port])
    if remote == FREE:
        return -Errno.EINVAL
    remote_domain = DomainId(remote % (1 << EVTCHN_REMOTE_SHIFT) - 1)
    await evtchn_set_pending(pe, remote_domain, remote >> EVTCHN_REMOTE_SHIFT)
    return 0


@symbol
async def send_global_virq(pe: Pe, virq: Virq) -> None:
    """Raise a global virtual interrupt in the domain that handles it: the hardware domain."""
    port = await pe.load(pe.xen.domains[HARDWARE_DOMAIN].dom_exc_port)
    if port:
        await evtchn_set_pending(pe, HARDWARE_DOMAIN, port, virq.name)


@symbol
async def evtchn_set_pending(pe: Pe, domain: DomainId, port: int, virq: str = "") -> None:
    """Mark a port pending and tell the domain's vCPU 0 with EVTCHN_PPI, if that is news."""
    before = await pe.atomic(AtomicOp.SET, shared_pending(domain), 1 << port)
    pe.trace(EventRaised(domain, port, virq))
    if not before & 1 << port:
        await vgic_inject_irq(pe, pe.xen.vcpus_of(domain)[0], EVTCHN_PPI)


@symbol
async def evtchn_init(pe: Pe, domain: DomainId) -> None:
    """Bind the store's port of a new domain to one of the hardware domain, and back."""
    here = pe.xen.domains[domain].evtchn_remote
    there = pe.xen.domains[HARDWARE_DOMAIN].evtchn_remote
    port = STORE_PORT + domain
    await pe.store_burst(
        (here[STORE_PORT], there[port]),
        (other_end(HARDWARE_DOMAIN, port), other_end(domain, STORE_PORT)),
    )


EVTCHN_OPS: dict[int, Callable[[Pe, Vcpu, int], Awaitable[int]]] = {
    EvtchnOp.BIND_VIRQ: evtchn_bind_virq,
    EvtchnOp.SEND: evtchn_op_send,
    EvtchnOp.ALLOC_UNBOUND: evtchn_alloc_unbound,
}
"""Operation to its function, which gets the address of the structure."""
