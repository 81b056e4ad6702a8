"""The hypercalls of the hardware domain's toolstack: immediates, operations and error numbers.

Source: Xen, public/arch-arm.h (hypercalling convention) and public/sysctl.h. A call is HVC
#XEN_HYPERCALL with the operation in x0 and its arguments in x1-x3; x0 returns 0 or a negative Xen
error number.
"""

from enum import IntEnum

XEN_HYPERCALL = 0xEA1
"""Immediate of an HVC that is a Xen hypercall (Xen, XEN_HYPERCALL_TAG)."""

PSCI_CALL = 0
"""Immediate of an HVC that is an SMCCC call to vPSCI."""

XEN_SYSCTL_CPU_HOTPLUG = 14
"""x0 of the one operation the guests use; x1 is a `CpuHotplug`, x2 a CPU index."""


class CpuHotplug(IntEnum):
    """Operations of XEN_SYSCTL_cpu_hotplug."""

    ONLINE = 0
    OFFLINE = 1
