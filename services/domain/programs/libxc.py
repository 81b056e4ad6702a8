"""The toolstack's hypercalls, one function each (tools/libs/ctrl)."""

from typing import NamedTuple

from proto.hypercall import (
    DOMAIN_INFO,
    DOMCTL,
    STORE_PORT,
    STORE_SHUTDOWN,
    SYSCTL_READCONSOLE,
    VCPU_INFO,
    WORD,
    CpuHotplug,
    Domctl,
    EvtchnOp,
    Hypercall,
    ShutdownReason,
    Sysctl,
    XenVersion,
)
from proto.platform import DOMAINS_MAX, SHARED_SIZE, XENSTORE
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.memory import HYPERCALL_PAGES, PAGE_BYTES, structure

BUFFER_OFFSET = 0x400
"""Where a vCPU's hypercall page holds what a call returns."""

CONSOLE_WORDS = 32
"""Words of the console ring that one call fetches."""


class DomainInfo(NamedTuple):
    """struct xen_domctl_getdomaininfo."""

    domain: int
    flags: int
    nr_online_vcpus: int
    max_vcpu_id: int
    memory_mb: int
    cpu_time_ns: int


class VcpuInfo(NamedTuple):
    """struct xen_domctl_getvcpuinfo, with the affinity."""

    online: int
    blocked: int
    running: int
    cpu_time_ns: int
    cpu: int
    affinity: int


class PhysInfo(NamedTuple):
    """struct xen_sysctl_physinfo."""

    nr_cpus: int
    max_cpu_id: int
    total_mb: int
    free_mb: int


def _buffer(cpu: GuestCpu) -> int:
    return HYPERCALL_PAGES + PAGE_BYTES * cpu.vcpu + BUFFER_OFFSET


def _words(cpu: GuestCpu, address: int, count: int) -> list[int]:
    return [cpu.load_word(address + WORD * index) for index in range(count)]


async def domctl(cpu: GuestCpu, command: Domctl, domain: int, *args: int) -> int:
    """DOMCTL; 0 or a negative error."""
    words = (command, domain, *args, 0, 0, 0, 0)[: len(DOMCTL)]
    return await cpu.hypercall(Hypercall.DOMCTL, structure(cpu, *words))


async def xc_domain_getinfolist(cpu: GuestCpu) -> tuple[int, list[DomainInfo]]:
    """All domains, by id; with the error, if any."""
    address = structure(cpu, Sysctl.GETDOMAININFOLIST, 0, DOMAINS_MAX, _buffer(cpu), 0)
    error = await cpu.hypercall(Hypercall.SYSCTL, address)
    (count,) = _words(cpu, address + 4 * WORD, 1)
    size = len(DOMAIN_INFO)
    rows = [_words(cpu, _buffer(cpu) + row * size * WORD, size) for row in range(count)]
    return error, [] if error else [DomainInfo(*row) for row in rows]


async def xc_vcpu_getinfo(cpu: GuestCpu, domain: int, vcpu: int) -> VcpuInfo:
    """One vCPU; the domain is known to exist."""
    await domctl(cpu, Domctl.GETVCPUINFO, domain, vcpu, _buffer(cpu))
    return VcpuInfo(*_words(cpu, _buffer(cpu), len(VCPU_INFO)))


async def xc_physinfo(cpu: GuestCpu) -> PhysInfo:
    """CPUs and memory."""
    address = structure(cpu, Sysctl.PHYSINFO, 0, 0, 0, 0)
    await cpu.hypercall(Hypercall.SYSCTL, address)
    return PhysInfo(*_words(cpu, address + WORD, 4))


async def xc_version(cpu: GuestCpu) -> tuple[int, int]:
    """Major and minor release of Xen."""
    version = await cpu.hypercall(Hypercall.XEN_VERSION, XenVersion.VERSION)
    return version >> 16, version & 0xFFFF


async def xc_readconsolering(cpu: GuestCpu) -> bytes:
    """All that the console ring holds."""
    text, index = bytearray(), 0
    while True:
        words = (Sysctl.READCONSOLE, _buffer(cpu), CONSOLE_WORDS, index)
        address = structure(cpu, *words)
        assert len(words) == len(SYSCTL_READCONSOLE)
        error = await cpu.hypercall(Hypercall.SYSCTL, address)
        count, index = _words(cpu, address + 2 * WORD, 2)
        if error or not count:
            return bytes(text)
        part = _words(cpu, _buffer(cpu), -(-count // WORD))
        text += b"".join(word.to_bytes(WORD, "little") for word in part)[:count]


async def xc_cpu_hotplug(cpu: GuestCpu, target: int, operation: CpuHotplug) -> int:
    """Take a physical CPU down or bring it back."""
    address = structure(cpu, Sysctl.CPU_HOTPLUG, target, operation)
    return await cpu.hypercall(Hypercall.SYSCTL, address)


async def xs_write_shutdown(cpu: GuestCpu, domain: int, reason: ShutdownReason) -> int:
    """Write `control/shutdown` of a domain and raise its store's event."""
    await cpu.swap_shared(XENSTORE + domain * SHARED_SIZE + STORE_SHUTDOWN, reason + 1)
    address = structure(cpu, STORE_PORT + domain)
    return await cpu.hypercall(Hypercall.EVENT_CHANNEL_OP, EvtchnOp.SEND, address)
