"""Xen's hypercalls as guests make them: numbers, operations, structures and error numbers.

Source: Xen, public/arch-arm.h (hypercalling convention), public/xen.h, public/sched.h,
public/event_channel.h, public/sysctl.h, public/domctl.h. A call is HVC #XEN_HYPERCALL with its
number in x16 (r12 on AArch32) and its arguments from x0 on; x0 returns a value or a negative Xen
error number. A structure lies in guest memory as a row of 64-bit words, one for each of its fields;
the argument is its address.
"""

from enum import IntEnum

XEN_HYPERCALL = 0xEA1
"""Immediate of an HVC that is a Xen hypercall (Xen, XEN_HYPERCALL_TAG)."""

PSCI_CALL = 0
"""Immediate of an HVC that is an SMCCC call to vPSCI."""

WORD = 8
"""Bytes of a word of a structure."""


class Hypercall(IntEnum):
    """Hypercall numbers (public/xen.h)."""

    XEN_VERSION = 17
    CONSOLE_IO = 18
    SCHED_OP = 29
    EVENT_CHANNEL_OP = 32
    SYSCTL = 35
    DOMCTL = 36


class SchedOp(IntEnum):
    """SCHEDOP_*: x0 is the operation, x1 the address of its structure (public/sched.h)."""

    YIELD = 0
    BLOCK = 1
    SHUTDOWN = 2
    POLL = 3
    REMOTE_SHUTDOWN = 4
    WATCHDOG = 6


class ShutdownReason(IntEnum):
    """SHUTDOWN_*: why a domain shuts down (public/sched.h)."""

    POWEROFF = 0
    REBOOT = 1
    SUSPEND = 2
    CRASH = 3
    WATCHDOG = 4
    SOFT_RESET = 5


SCHED_SHUTDOWN = ("reason",)
"""struct sched_shutdown."""
SCHED_REMOTE_SHUTDOWN = ("domain_id", "reason")
"""struct sched_remote_shutdown."""
SCHED_WATCHDOG = ("id", "timeout")
"""struct sched_watchdog: `id` 0 makes a new one; `timeout` in seconds, 0 destroys it."""


class EvtchnOp(IntEnum):
    """EVTCHNOP_*: x0 is the operation, x1 the address of its structure."""

    BIND_VIRQ = 1
    SEND = 4
    ALLOC_UNBOUND = 6


class Virq(IntEnum):
    """VIRQ_*: virtual interrupts that Xen raises (public/xen.h)."""

    DOM_EXC = 3


EVTCHN_BIND_VIRQ = ("virq", "vcpu", "port")
"""struct evtchn_bind_virq; `port` is returned."""
EVTCHN_SEND = ("port",)
"""struct evtchn_send."""
EVTCHN_ALLOC_UNBOUND = ("dom", "remote_dom", "port")
"""struct evtchn_alloc_unbound; `port` is returned.

It is bound at once, to a port of the same number of `remote_dom`.
"""

EVTCHN_PPI = 31
"""PPI that tells a vCPU of pending events (GUEST_EVTCHN_PPI)."""
SHARED_PENDING = 0
"""Offset in the shared-info page of the word of pending ports; a guest takes them with a swap."""

STORE_SHUTDOWN = 0
"""Offset in a domain's store page of `control/shutdown`: 0 nothing, else a `ShutdownReason` + 1.

Written by domain 0's toolstack, which then sends the store's event; taken back by the domain.
"""
STORE_PORT = 1
"""Port of each domain's store event, bound from the start to port STORE_PORT + N of domain 0."""


class Sysctl(IntEnum):
    """XEN_SYSCTL_*: x0 is the address of a structure whose first word is the operation."""

    READCONSOLE = 1
    PHYSINFO = 3
    GETDOMAININFOLIST = 6
    CPU_HOTPLUG = 14


class CpuHotplug(IntEnum):
    """Operations of XEN_SYSCTL_cpu_hotplug."""

    ONLINE = 0
    OFFLINE = 1


SYSCTL_READCONSOLE = ("cmd", "buffer", "count", "index")
"""`buffer` is filled with up to `count` words of 8 characters from ring position `index`.

`count` returns the number of characters, `index` the position behind them.
"""
SYSCTL_PHYSINFO = ("cmd", "nr_cpus", "max_cpu_id", "total_mb", "free_mb")
SYSCTL_GETDOMAININFOLIST = ("cmd", "first_domain", "max_domains", "buffer", "num_domains")
"""`buffer` is filled with rows of DOMAIN_INFO; `num_domains` is returned."""
SYSCTL_CPU_HOTPLUG = ("cmd", "cpu", "op")

DOMAIN_INFO = ("domain", "flags", "nr_online_vcpus", "max_vcpu_id", "memory_mb", "cpu_time_ns")
"""struct xen_domctl_getdomaininfo."""


class DomInfo:
    """Bits of `flags` (XEN_DOMINF_*); the shutdown reason stands at SHUTDOWN_SHIFT."""

    DYING = 1 << 0
    SHUTDOWN = 1 << 2
    PAUSED = 1 << 3
    BLOCKED = 1 << 4
    RUNNING = 1 << 5
    SHUTDOWN_SHIFT = 16


class Domctl(IntEnum):
    """XEN_DOMCTL_*: x0 is the address of a structure whose first word is the operation."""

    PAUSEDOMAIN = 3
    UNPAUSEDOMAIN = 4
    GETDOMAININFO = 5
    GETVCPUINFO = 14
    RESUMEDOMAIN = 27
    SUBSCRIBE = 29


DOMCTL = ("cmd", "domain", "arg0", "arg1", "arg2", "arg3")
"""struct xen_domctl. SUBSCRIBE: `arg0` is the port of the suspend event. GETDOMAININFO: `arg0` is
the address of a DOMAIN_INFO. GETVCPUINFO: `arg0` is the vCPU, `arg1` the address of a VCPU_INFO."""

VCPU_INFO = ("online", "blocked", "running", "cpu_time_ns", "cpu", "affinity")
"""struct xen_domctl_getvcpuinfo, and the vCPU's hard affinity as a mask of CPUs."""


class XenVersion(IntEnum):
    """XENVER_*: x0 is the operation; the answer comes in x0."""

    VERSION = 0


class Errno(IntEnum):
    """Xen's error numbers, returned negated (public/errno.h)."""

    EPERM = 1
    ENOENT = 2
    ESRCH = 3
    EIO = 5
    ENOMEM = 12
    EFAULT = 14
    EBUSY = 16
    EEXIST = 17
    EINVAL = 22
    ENOSPC = 28
    ENOSYS = 38
    EOPNOTSUPP = 95
    ETIMEDOUT = 110
