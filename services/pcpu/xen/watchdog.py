"""The watchdogs of domains (xen/common/sched/core.c, domain_watchdog).

A domain has two. Their timers run on the boot CPU, as Xen makes them. Upstream they are never
stopped by Xen; the series of 2025-03 stops them while their domain is suspended and starts them
with the full period; `watchdog_domain_freeze` keeps what was left of it.
"""

from proto.hypercall import Errno, ShutdownReason
from proto.ids import BOOT_CPU, DomainId
from proto.image import symbol
from proto.messages import AtomicOp
from proto.traces import Watchdog
from proto.units import S
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.memory import HARDWARE_DOMAIN, NR_DOMAIN_WATCHDOG_TIMERS
from services.pcpu.xen.spinlock import spin_lock, spin_unlock
from services.pcpu.xen.timer import init_timer, set_timer, stop_timer


@symbol
async def watchdog_domain_init(pe: Pe, domain: DomainId) -> None:
    """Make a domain's watchdog timers; `data` says whose, and which of the two it is."""
    for index, timer in enumerate(pe.xen.watchdog_timer[domain]):
        data = domain * NR_DOMAIN_WATCHDOG_TIMERS + index
        await init_timer(pe, timer, "domain_watchdog_timeout", data, BOOT_CPU)


@symbol
async def domain_watchdog(pe: Pe, domain: DomainId, number: int, timeout_s: int) -> int:
    """Set, pat or stop a watchdog; `number` counts from 1, 0 asks for a free one.

    Gives its number if it was 0, else 0. -EINVAL for a number that is not in use, -ENOSPC without a
    free one. A timeout of 0 gives a watchdog back.
    """
    if number > NR_DOMAIN_WATCHDOG_TIMERS:
        return -Errno.EINVAL
    cells = pe.xen.watchdog[domain]
    await spin_lock(pe, cells.lock)
    in_use = await pe.load(cells.inuse_map)
    if number == 0:
        result = await watchdog_allocate(pe, domain, in_use, timeout_s)
    elif not in_use >> (number - 1) & 1:
        result = -Errno.EINVAL
    elif timeout_s == 0:
        await watchdog_stop(pe, domain, number - 1)
        await pe.store(cells.inuse_map, in_use & ~(1 << (number - 1)))
        result = 0
    else:
        await watchdog_start(pe, domain, number - 1, timeout_s)
        result = 0
    await spin_unlock(pe, cells.lock)
    return result


@symbol
async def watchdog_allocate(pe: Pe, domain: DomainId, in_use: int, timeout_s: int) -> int:
    """Start the first free watchdog; gives its number from 1, or -ENOSPC."""
    for index in range(NR_DOMAIN_WATCHDOG_TIMERS):
        if not in_use >> index & 1:
            await pe.store(pe.xen.watchdog[domain].inuse_map, in_use | 1 << index)
            await watchdog_start(pe, domain, index, timeout_s)
            return index + 1
    return -Errno.ENOSPC


@symbol
async def watchdog_start(pe: Pe, domain: DomainId, index: int, timeout_s: int) -> None:
    """Note a watchdog's period and start it with all of it."""
    await pe.store(pe.xen.watchdog[domain].timeout_s[index], timeout_s)
    await watchdog_set(pe, domain, index, pe.now + timeout_s * S)


@symbol
async def watchdog_set(pe: Pe, domain: DomainId, index: int, deadline_ns: int) -> None:
    """Have a watchdog expire at a board time."""
    pe.trace(Watchdog(domain, index, "set", deadline_ns))
    await set_timer(pe, pe.xen.watchdog_timer[domain][index], deadline_ns)


@symbol
async def watchdog_stop(pe: Pe, domain: DomainId, index: int) -> None:
    """Have a watchdog not expire."""
    pe.trace(Watchdog(domain, index, "stopped"))
    await stop_timer(pe, pe.xen.watchdog_timer[domain][index])


@symbol
async def domain_watchdog_timeout(pe: Pe, data: int) -> None:
    """A watchdog has expired: shut its domain down, unless that has begun already."""
    number, index = divmod(data, NR_DOMAIN_WATCHDOG_TIMERS)
    domain = DomainId(number)
    if await pe.load(pe.xen.domains[domain].is_shutting_down):
        pe.trace(Watchdog(domain, index, "spared"))
        return
    pe.trace(Watchdog(domain, index, "fired"))
    await printk(pe, f"Watchdog timer {index} fired for d{domain}")
    await pe.links["domain_shutdown"](pe, domain, ShutdownReason.WATCHDOG)


@symbol
async def watchdogs_in_use(pe: Pe, domain: DomainId) -> list[int]:
    """Indexes of a domain's watchdogs that are in use."""
    in_use = await pe.load(pe.xen.watchdog[domain].inuse_map)
    return [index for index in range(NR_DOMAIN_WATCHDOG_TIMERS) if in_use >> index & 1]


# -- what the series of 2025-03 does to them


@symbol
async def watchdog_domain_suspend(pe: Pe, domain: DomainId) -> None:
    """Stop a domain's watchdogs while it is suspended (patch 08 of the series)."""
    await spin_lock(pe, pe.xen.watchdog[domain].lock)
    for index in await watchdogs_in_use(pe, domain):
        await watchdog_stop(pe, domain, index)
    await spin_unlock(pe, pe.xen.watchdog[domain].lock)


@symbol
async def watchdog_domain_resume(pe: Pe, domain: DomainId) -> None:
    """Start them with the full period, however little was left of it."""
    cells = pe.xen.watchdog[domain]
    await spin_lock(pe, cells.lock)
    for index in await watchdogs_in_use(pe, domain):
        timeout_s = await pe.load(cells.timeout_s[index])
        await watchdog_set(pe, domain, index, pe.now + timeout_s * S)
    await spin_unlock(pe, cells.lock)


# -- what they need: a domain that cannot run cannot pat its watchdog either


@symbol
async def watchdog_domain_freeze(pe: Pe, domain: DomainId) -> None:
    """Stop a domain's watchdogs and keep the time that is left; nests.

    One that expires on another CPU meanwhile has fired.
    """
    cells = pe.xen.watchdog[domain]
    await spin_lock(pe, cells.lock)
    if await pe.fetch_add(cells.frozen, 1) == 0:
        for index in await watchdogs_in_use(pe, domain):
            pe.trace(Watchdog(domain, index, "stopped"))
            timer = pe.xen.watchdog_timer[domain][index]
            deadline_ns = await pe.atomic(AtomicOp.SWAP, timer.expires, 0)
            left_ns = max(deadline_ns - pe.now, 1) if deadline_ns else 0
            await pe.store(cells.left_ns[index], left_ns)
    await spin_unlock(pe, cells.lock)


@symbol
async def watchdog_domain_thaw(pe: Pe, domain: DomainId) -> None:
    """Take one freeze back, and with the last start the watchdogs with what was left."""
    cells = pe.xen.watchdog[domain]
    await spin_lock(pe, cells.lock)
    if await pe.fetch_add(cells.frozen, -1) == 1:
        for index in await watchdogs_in_use(pe, domain):
            left_ns = await pe.load(cells.left_ns[index])
            if left_ns:
                await watchdog_set(pe, domain, index, pe.now + left_ns)
    await spin_unlock(pe, cells.lock)


# -- who stops them, and when: what a version of the series says


@symbol
async def stop_watchdogs(pe: Pe, domain: DomainId) -> None:
    """A domain's SYSTEM_SUSPEND has been accepted."""
    await watchdog_domain_freeze(pe, domain)


@symbol
async def restart_watchdogs(pe: Pe, domain: DomainId) -> None:
    """A domain is about to start at its resume entry."""
    await watchdog_domain_thaw(pe, domain)


@symbol
async def stop_watchdogs_of_hardware_domain(pe: Pe, domain: DomainId) -> None:
    """The series of 2025-03 does it for the hardware domain only."""
    if domain == HARDWARE_DOMAIN:
        await watchdog_domain_suspend(pe, domain)


@symbol
async def restart_watchdogs_of_hardware_domain(pe: Pe, domain: DomainId) -> None:
    """And starts them with the full period."""
    if domain == HARDWARE_DOMAIN:
        await watchdog_domain_resume(pe, domain)


@symbol
async def freeze_watchdogs(pe: Pe, domain: DomainId) -> None:
    """A domain has been frozen for the host's suspend (S1)."""
    await watchdog_domain_freeze(pe, domain)


@symbol
async def thaw_watchdogs(pe: Pe, domain: DomainId) -> None:
    """A domain is about to be thawed (R8)."""
    await watchdog_domain_thaw(pe, domain)


@symbol
async def leave_watchdogs(pe: Pe, domain: DomainId) -> None:
    """Published Xen leaves the watchdogs alone; those of a domain that shuts down are spared."""
