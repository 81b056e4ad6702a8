"""Which SYSTEM_SUSPEND suspends the host (the 2026-06 series, "xen/arm: control domain policy")."""

from enum import Enum

from proto.hypercall import ShutdownReason
from proto.ids import DomainId
from proto.image import symbol
from proto.psci import Psci, PsciError
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import shutdown_state
from services.pcpu.xen.iommu import iommu_suspend_supported
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.serial import serial_suspend_supported


class Policy(Enum):
    """What becomes of an acceptable call."""

    PARKED = "parked"
    """The domain sleeps and the host runs on."""
    HOST = "host"
    DENIED = "denied"


Decision = tuple[Policy, str]


@symbol
async def suspend_policy(pe: Pe, vcpu: Vcpu) -> Decision:
    """The decision about a domain that asks, with the reason of a denial.

    Only the last control domain that is awake suspends the host, and only if every other domain
    sleeps already and the host can suspend at all.
    """
    if not vcpu.is_control or await another_control_domain_is_awake(pe, vcpu):
        return Policy.PARKED, ""
    awake = await domains_awake(pe, vcpu.domain)
    if awake:
        return Policy.DENIED, f"dom{awake[0]} is not suspended"
    obstacle = await host_suspend_obstacle(pe)
    return (Policy.DENIED, obstacle) if obstacle else (Policy.HOST, "")


@symbol
async def suspend_policy_unchecked(pe: Pe, vcpu: Vcpu) -> Decision:
    """The 2026-04 series freezes first and checks afterwards: a control domain's call is taken."""
    return (Policy.HOST if vcpu.is_control else Policy.PARKED), ""


@symbol
async def another_control_domain_is_awake(pe: Pe, vcpu: Vcpu) -> bool:
    """Whether a control domain other than the caller's has not asked to suspend yet."""
    for other in pe.xen.domains:
        if other != vcpu.domain and pe.xen.vcpus_of(other)[0].is_control:
            shutting, _, _ = await shutdown_state(pe, other)
            if not shutting:
                return True
    return False


@symbol
async def domains_awake(pe: Pe, caller: DomainId) -> list[DomainId]:
    """The other domains that are not completely in SHUTDOWN_suspend."""
    awake: list[DomainId] = []
    for other in pe.xen.domains:
        if other != caller:
            _, shut, reason = await shutdown_state(pe, other)
            if not shut or reason is not ShutdownReason.SUSPEND:
                awake.append(other)
    return awake


@symbol
async def host_suspend_obstacle(pe: Pe) -> str:
    """What keeps this host from suspending, or nothing.

    Firmware must have SYSTEM_SUSPEND, and each driver both callbacks; an SMMUv3 that signals by
    MSIs cannot restore them.
    """
    if await pe.smc(Psci.FEATURES, Psci.SYSTEM_SUSPEND) != PsciError.SUCCESS:
        return "firmware has no SYSTEM_SUSPEND"
    platform = pe.board.platform
    if not serial_suspend_supported(pe):
        return f"the {platform.console.value} driver cannot suspend"
    if not iommu_suspend_supported(pe):
        return f"the {platform.iommu.value} driver cannot suspend"
    return ""
