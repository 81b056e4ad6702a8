"""What guests ask PSCI for: calls that end in a start, and how that start has to look."""

from dataclasses import dataclass, field

from proto.ids import DomainId, VcpuIndex
from proto.platform import RTC_SPI, TTY_SPI
from proto.psci import Psci
from proto.scenario import GuestArch, domain_ids
from proto.traces import GuestStarted
from services.monitor.shadow import Shadow

Vcpu = tuple[DomainId, VcpuIndex]

SCTLR_AT_ENTRY = 0x00C50078
PSTATE_AT_ENTRY = 0x3C5
CPSR_AT_ENTRY = 0x1D3
CPSR_T = 1 << 5
THUMB = 1 << 0
SYSTEM_SUSPEND = (Psci.SYSTEM_SUSPEND, Psci.SYSTEM_SUSPEND_32)
CPU_ON = (Psci.CPU_ON, Psci.CPU_ON_32)


@dataclass(frozen=True, slots=True)
class Debt:
    """A start that is owed: since when, in time that the domain was not paused, and for what."""

    position: int
    since_ns: int
    because: str


@dataclass(slots=True)
class Call:
    """A guest's call that ends in a start: its arguments, then its result, then what is owed."""

    position: int
    now: int
    entry: int
    context_id: int
    code: int | None = None
    debt: Debt | None = None
    started: int | None = None
    """Position of the start; of a CPU_ON it may come before the result."""


@dataclass(slots=True)
class VcpuCalls:
    """What a vCPU has asked for, and what others have asked for it."""

    created: bool = False
    """The creation of its domain has earned it one start."""
    suspend: Call | None = None
    cpu_on: tuple[Vcpu, Call] | None = None
    """Its own call without a result yet, and for whom it is."""
    earned: list[Call] = field(default_factory=list)
    """CPU_ON calls for it that are not over: no result yet, or no start."""


def device_owners(shadow: Shadow) -> dict[int, DomainId]:
    """SPI of each device that is a domain's own, to the domain."""
    owners = {RTC_SPI: DomainId(0)}
    for domain in domain_ids(shadow.board.scenario):
        owners[TTY_SPI + domain] = DomainId(domain)
    return owners


def called_for(earned: list[Call], entry: int) -> Call | None:
    """The call that a start belongs to: an accepted one, else one at its entry, else the oldest."""
    waiting = [call for call in earned if call.started is None]
    accepted = [call for call in waiting if call.code is not None]
    matching = [call for call in waiting if call.entry == entry]
    return next(iter((*accepted, *matching, *waiting)), None)


def wrong_registers(call: Call, event: GuestStarted, arch: GuestArch) -> list[str]:
    """Registers that differ from the table of a resume.

    A 32-bit vCPU starts in Supervisor mode; the Thumb bit of its entry has moved to CPSR.T.
    """
    x0, others = event.x[0], event.x[1:]
    entry, pstate = call.entry, PSTATE_AT_ENTRY
    if arch is GuestArch.AARCH32:
        pstate = CPSR_AT_ENTRY | (CPSR_T if entry & THUMB else 0)
        entry &= ~THUMB
    expected = (
        ("PC", event.entry, entry),
        ("x0", x0, call.context_id),
        ("PSTATE", event.pstate, pstate),
        ("SCTLR_EL1", event.sctlr, SCTLR_AT_ENTRY),
        ("TTBR0_EL1", event.ttbr0, 0),
        ("TTBR1_EL1", event.ttbr1, 0),
        ("TCR_EL1", event.tcr, 0),
    )
    wrong = [
        f"{name} {value:#x} instead of {wanted:#x}"
        for name, value, wanted in expected
        if value != wanted
    ]
    return wrong + [
        f"x{number} {value:#x} instead of 0"
        for number, value in enumerate(others, start=1)
        if value
    ]
