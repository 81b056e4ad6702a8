"""The toolstack's hypercalls (xen/common/sysctl.c, xen/arch/arm/sysctl.c)."""

from collections.abc import Awaitable, Callable

from proto.hypercall import (
    SYSCTL_CPU_HOTPLUG,
    SYSCTL_GETDOMAININFOLIST,
    SYSCTL_READCONSOLE,
    WORD,
    CpuHotplug,
    Errno,
    Sysctl,
)
from proto.ids import BOOT_CPU, CpuIndex
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.continue_hypercall import Continuation, continue_hypercall_on_cpu
from services.pcpu.xen.cpu import cpu_down, cpu_up
from services.pcpu.xen.domctl import getdomaininfo
from services.pcpu.xen.guest_access import copy_from_guest, copy_to_guest
from services.pcpu.xen.memory import Vcpu

MIB = 1 << 20


@symbol
async def do_sysctl(pe: Pe, vcpu: Vcpu, args: tuple[int, ...]) -> int:
    """Serve a toolstack's call; the structure that x0 points to begins with the operation."""
    if not vcpu.is_control:
        return -Errno.EPERM
    (operation,) = await copy_from_guest(pe, vcpu, args[0], 1)
    handler = SYSCTLS.get(operation)
    if handler is None:
        return -Errno.ENOSYS
    return await handler(pe, vcpu, args[0])


@symbol
async def sysctl_readconsole(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """XEN_SYSCTL_readconsole: a part of the console ring, eight characters a word."""
    _, buffer, count, index = await copy_from_guest(pe, vcpu, address, len(SYSCTL_READCONSOLE))
    text, following = await pe.links["read_console_ring"](pe, index, count * WORD)
    padded = text + bytes(-len(text) % WORD)
    words = [int.from_bytes(padded[at : at + WORD], "little") for at in range(0, len(padded), WORD)]
    if words:
        await copy_to_guest(pe, vcpu, buffer, words)
    await copy_to_guest(pe, vcpu, address + 2 * WORD, (len(text), following))
    return 0


@symbol
async def sysctl_physinfo(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """XEN_SYSCTL_physinfo: CPUs that are online, and memory in MiB."""
    online = (await pe.load(pe.xen.system.cpu_online_map)).bit_count()
    total_mb = sum(size for _, size in pe.board.platform.ram) // MIB
    used_mb = sum(spec.memory_mb for spec in pe.board.scenario.domains)
    info = (online, pe.board.platform.pes - 1, total_mb, max(0, total_mb - used_mb))
    await copy_to_guest(pe, vcpu, address + WORD, info)
    return 0


@symbol
async def sysctl_getdomaininfolist(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """XEN_SYSCTL_getdomaininfolist: rows of DOMAIN_INFO, by ascending domain id."""
    _, first, maximum, buffer, _ = await copy_from_guest(
        pe, vcpu, address, len(SYSCTL_GETDOMAININFOLIST)
    )
    wanted = [domain for domain in pe.xen.domains if domain >= first][:maximum]
    rows: list[int] = []
    for domain in wanted:
        rows += await getdomaininfo(pe, domain)
    if rows:
        await copy_to_guest(pe, vcpu, buffer, rows)
    await copy_to_guest(pe, vcpu, address + 4 * WORD, (len(wanted),))
    return 0


@symbol
async def arch_do_sysctl_cpu_hotplug(pe: Pe, vcpu: Vcpu, address: int) -> int:
    """XEN_SYSCTL_cpu_hotplug, which goes on in a tasklet; its result is written at the end."""
    _, cpu, operation = await copy_from_guest(pe, vcpu, address, len(SYSCTL_CPU_HOTPLUG))
    if cpu >= pe.board.platform.pes:
        return -Errno.EINVAL
    function = HOTPLUG_FUNCTIONS.get(operation)
    if function is None:
        return -Errno.EOPNOTSUPP
    return await continue_hypercall_on_cpu(pe, vcpu, BOOT_CPU, function, cpu)


@symbol
async def cpu_up_helper(pe: Pe, cpu: int) -> int:
    """cpu_up in the tasklet."""
    return await cpu_up(pe, CpuIndex(cpu))


@symbol
async def cpu_down_helper(pe: Pe, cpu: int) -> int:
    """cpu_down in the tasklet."""
    return await cpu_down(pe, CpuIndex(cpu))


HOTPLUG_FUNCTIONS: dict[int, Continuation] = {
    CpuHotplug.ONLINE: Continuation.CPU_UP,
    CpuHotplug.OFFLINE: Continuation.CPU_DOWN,
}
"""Operation of XEN_SYSCTL_cpu_hotplug to what carries it out."""

SYSCTLS: dict[int, Callable[[Pe, Vcpu, int], Awaitable[int]]] = {
    Sysctl.READCONSOLE: sysctl_readconsole,
    Sysctl.PHYSINFO: sysctl_physinfo,
    Sysctl.GETDOMAININFOLIST: sysctl_getdomaininfolist,
    Sysctl.CPU_HOTPLUG: arch_do_sysctl_cpu_hotplug,
}
"""Operation to its function, which gets the address of the structure."""
