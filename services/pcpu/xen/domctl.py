"""DOMCTL: what a toolstack does to domains (xen/common/domctl.c)."""

from collections.abc import Awaitable, Callable

from proto.hypercall import (
    DOMCTL,
    Domctl,
    DomInfo,
    Errno,
    ShutdownReason,
)
from proto.ids import DomainId
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import (
    VPF_BLOCKED,
    VPF_DOWN,
    domain_pause_by_systemcontroller,
    domain_resume,
    domain_unpause_by_systemcontroller,
)
from services.pcpu.xen.guest_access import copy_from_guest, copy_to_guest
from services.pcpu.xen.memory import EVTCHN_PORTS, Vcpu

DomctlArgs = tuple[int, ...]


@symbol
async def do_domctl(pe: Pe, vcpu: Vcpu, args: tuple[int, ...]) -> int:
    """Serve a toolstack's call on a domain; the structure that x0 points to is `DOMCTL`."""
    command, domain, *rest = await copy_from_guest(pe, vcpu, args[0], len(DOMCTL))
    if domain not in pe.xen.domains:
        return -Errno.ESRCH
    if not vcpu.is_control:
        return -Errno.EPERM
    operation = DOMCTLS.get(command)
    if operation is None:
        return -Errno.ENOSYS
    result = await operation(pe, vcpu, DomainId(domain), tuple(rest))
    # The barrier of the domctl lock's release.
    await pe.smp_mb()
    return result


@symbol
async def domctl_pausedomain(pe: Pe, vcpu: Vcpu, domain: DomainId, args: DomctlArgs) -> int:
    """XEN_DOMCTL_pausedomain; -EINVAL for the caller's own domain."""
    if domain == vcpu.domain:
        return -Errno.EINVAL
    return await domain_pause_by_systemcontroller(pe, domain)


@symbol
async def domctl_unpausedomain(pe: Pe, vcpu: Vcpu, domain: DomainId, args: DomctlArgs) -> int:
    """XEN_DOMCTL_unpausedomain; -EINVAL if no toolstack has paused the domain."""
    return await domain_unpause_by_systemcontroller(pe, domain)


@symbol
async def domctl_resumedomain(pe: Pe, vcpu: Vcpu, domain: DomainId, args: DomctlArgs) -> int:
    """XEN_DOMCTL_resumedomain; -EINVAL for the caller's own domain."""
    if domain == vcpu.domain:
        return -Errno.EINVAL
    await domain_resume(pe, domain)
    return 0


@symbol
async def domctl_subscribe(pe: Pe, vcpu: Vcpu, domain: DomainId, args: DomctlArgs) -> int:
    """XEN_DOMCTL_subscribe: the port that is raised when the domain has suspended."""
    if not 0 < args[0] < EVTCHN_PORTS:
        return -Errno.EINVAL
    await pe.store(pe.xen.domains[domain].suspend_evtchn, args[0])
    return 0


@symbol
async def domctl_getdomaininfo(pe: Pe, vcpu: Vcpu, domain: DomainId, args: DomctlArgs) -> int:
    """XEN_DOMCTL_getdomaininfo."""
    await copy_to_guest(pe, vcpu, args[0], await getdomaininfo(pe, domain))
    return 0


@symbol
async def domctl_getvcpuinfo(pe: Pe, vcpu: Vcpu, domain: DomainId, args: DomctlArgs) -> int:
    """XEN_DOMCTL_getvcpuinfo; -ESRCH for a vCPU that the domain does not have."""
    siblings = pe.xen.vcpus_of(domain)
    if args[0] >= len(siblings):
        return -Errno.ESRCH
    cells = pe.xen.vcpu[siblings[args[0]].index]
    flags, running, processor, affinity = await pe.load_burst(
        (cells.pause_flags, cells.is_running, cells.processor, cells.hard_affinity)
    )
    info = (
        int(not flags & VPF_DOWN),
        int(bool(flags & VPF_BLOCKED)),
        running,
        await vcpu_runtime(pe, siblings[args[0]]),
        processor,
        affinity,
    )
    await copy_to_guest(pe, vcpu, args[1], info)
    return 0


@symbol
async def getdomaininfo(pe: Pe, domain: DomainId) -> tuple[int, ...]:
    """A row of DOMAIN_INFO: a domain is blocked if all its online vCPUs are."""
    cells = pe.xen.domains[domain]
    shut, code, paused = await pe.load_burst(
        (cells.is_shut_down, cells.shutdown_code, cells.controller_pause_count)
    )
    flags = DomInfo.BLOCKED
    online = running_ns = 0
    siblings = pe.xen.vcpus_of(domain)
    for vcpu in siblings:
        own = pe.xen.vcpu[vcpu.index]
        pause_flags, running = await pe.load_burst((own.pause_flags, own.is_running))
        if not pause_flags & VPF_DOWN:
            online += 1
            if not pause_flags & VPF_BLOCKED:
                flags &= ~DomInfo.BLOCKED
            if running:
                flags |= DomInfo.RUNNING
        running_ns += await vcpu_runtime(pe, vcpu)
    if shut:
        flags |= DomInfo.SHUTDOWN | ShutdownReason(code - 1) << DomInfo.SHUTDOWN_SHIFT
    if paused:
        flags |= DomInfo.PAUSED
    spec = next(spec for spec in pe.board.scenario.domains if spec.id == domain)
    return (domain, flags, online, len(siblings) - 1, spec.memory_mb, running_ns)


@symbol
async def vcpu_runtime(pe: Pe, vcpu: Vcpu) -> int:
    """How long a vCPU has run, in nanoseconds (vcpu_runstate_get)."""
    cells = pe.xen.vcpu[vcpu.index]
    total_ns, since_ns, running = await pe.load_burst(
        (cells.runtime_ns, cells.running_since_ns, cells.is_running)
    )
    return total_ns + (pe.now - since_ns if running else 0)


DOMCTLS: dict[int, Callable[[Pe, Vcpu, DomainId, DomctlArgs], Awaitable[int]]] = {
    Domctl.PAUSEDOMAIN: domctl_pausedomain,
    Domctl.UNPAUSEDOMAIN: domctl_unpausedomain,
    Domctl.GETDOMAININFO: domctl_getdomaininfo,
    Domctl.GETVCPUINFO: domctl_getvcpuinfo,
    Domctl.RESUMEDOMAIN: domctl_resumedomain,
    Domctl.SUBSCRIBE: domctl_subscribe,
}
"""Operation to its function."""
