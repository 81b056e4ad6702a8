"""State traces: what a node says of itself, atomically with the turn in which it became true.

Traces go to the journal only. The checker, the timeline and the statistics read them there; no node
ever receives one.
"""

import msgspec


class TraceEvent(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """Base of all traces."""


class Phase(TraceEvent, frozen=True):
    """A labelled step (`S3`, `R2`) begins, ends, or fails with a Xen error number."""

    label: str
    name: str
    edge: str  # begin | end | fail
    error: int = 0


class SystemState(TraceEvent, frozen=True):
    """Xen's `system_state` as just stored: boot, active, suspend or resume."""

    state: str


class PePower(TraceEvent, frozen=True):
    """A PE's rail: off throws the PE's whole state away."""

    on: bool
    reason: str = ""


class PeEntered(TraceEvent, frozen=True):
    """A PE starts executing below EL3 at a symbol of the image."""

    symbol: str
    x0: int


class PeHalted(TraceEvent, frozen=True):
    """A PE executes nothing more: panic or an abort nobody handled."""

    message: str


class SmcIssued(TraceEvent, frozen=True):
    """A PE executes SMC, with the state the callee's rules ask about."""

    function: int
    args: tuple[int, int, int]
    irq_masked: bool


class AffinityState(TraceEvent, frozen=True):
    """Firmware has published the AFFINITY_INFO state of a PE: ON, OFF or ON_PENDING."""

    cpu: int
    state: str


class SystemSuspendDecision(TraceEvent, frozen=True):
    """EL3's decision on SYSTEM_SUSPEND with the AFFINITY_INFO states it saw, by CPU index."""

    caller: int
    result: str  # SUSPEND | DENIED | INVALID_ADDRESS | PENDING
    affinity: tuple[str, ...]


class SystemPower(TraceEvent, frozen=True):
    """`scp` has moved the system: on, sleeping, waking, off."""

    state: str
    intid: int = -1


class Online(TraceEvent, frozen=True):
    """A bit of `cpu_online_map` has been changed."""

    cpu: int
    online: bool


class CpuMissing(TraceEvent, frozen=True):
    """Xen reports that a CPU did not go down or did not come back."""

    cpu: int
    error: int


class FrozenCpus(TraceEvent, frozen=True):
    """`frozen_cpus` as just stored: the CPUs that system suspend took down, as a bit mask."""

    mask: int


class PauseCount(TraceEvent, frozen=True):
    """`domain.pause_count` as just changed."""

    domain: int
    count: int


class DomainShutdown(TraceEvent, frozen=True):
    """A domain's shutdown state as just changed: none, in_progress or complete.

    `code` is a SHUTDOWN_* reason by name (`suspend`, `poweroff`, ...), empty with `none`.
    """

    domain: int
    state: str
    code: str = ""


class SuspendPolicy(TraceEvent, frozen=True):
    """Xen's decision on a domain's accepted-so-far SYSTEM_SUSPEND: parked, host or denied."""

    domain: int
    decision: str
    why: str = ""


class Watchdog(TraceEvent, frozen=True):
    """A domain's watchdog: set (with its deadline), stopped, fired, or spared though expired."""

    domain: int
    timer: int
    event: str  # set | stopped | fired | spared
    deadline_ns: int = 0


class HeapUse(TraceEvent, frozen=True):
    """Xen has called its allocator: xmalloc or xfree, of what, and in which context."""

    operation: str
    what: str
    irq_masked: bool
    online: int
    """How many CPUs are in `cpu_online_map`."""


class EventRaised(TraceEvent, frozen=True):
    """An event channel port of a domain has been made pending; `virq` names a VIRQ, else empty."""

    domain: int
    port: int
    virq: str = ""


class VcpuPlaced(TraceEvent, frozen=True):
    """A vCPU's processor, or the target of a guest's interrupt (`intid`), has been changed."""

    domain: int
    vcpu: int
    cpu: int
    intid: int = -1


class ConsoleSync(TraceEvent, frozen=True):
    """Depth of the console's synchronous mode as just changed."""

    depth: int


class IntState(TraceEvent, frozen=True):
    """The distributor's state of an interrupt has changed; `cpu` is -1 for an SPI."""

    intid: int
    cpu: int
    pending: bool
    active: bool


class Unpredictable(TraceEvent, frozen=True):
    """The software did what the architecture calls UNPREDICTABLE; `clause` names the source."""

    what: str
    clause: str


class InterruptLost(TraceEvent, frozen=True):
    """A block lost an interrupt that was latched in it when its power was cut."""

    intid: int
    block: str


class LineEvent(TraceEvent, frozen=True):
    """A device asserts or releases its interrupt line; `count` numbers the assertions from 1."""

    intid: int
    level: bool
    count: int


class VpsciCall(TraceEvent, frozen=True):
    """A guest's PSCI call as Xen's vPSCI received it."""

    domain: int
    vcpu: int
    function: int
    args: tuple[int, int, int]


class VpsciResult(TraceEvent, frozen=True):
    """vPSCI's decision on a call, as a signed return code."""

    domain: int
    vcpu: int
    function: int
    code: int


class GuestStarted(TraceEvent, frozen=True):
    """A fresh guest program starts at an entry address with these registers."""

    domain: int
    vcpu: int
    entry: int
    x: tuple[int, ...]
    pstate: int
    sctlr: int
    ttbr0: int = 0
    ttbr1: int = 0
    tcr: int = 0


class GuestReturned(TraceEvent, frozen=True):
    """A guest continues behind its SYSTEM_SUSPEND call with this x0."""

    domain: int
    vcpu: int
    x0: int


class GuestIrq(TraceEvent, frozen=True):
    """A guest has acknowledged a virtual interrupt."""

    domain: int
    vcpu: int
    intid: int


class GuestWork(TraceEvent, frozen=True):
    """A guest's workload has checked itself; `detail` says what did not hold."""

    domain: int
    vcpu: int
    rounds: int
    intact: bool
    detail: str = ""


class ScenarioStep(TraceEvent, frozen=True):
    """The operator begins a step of the scenario."""

    index: int
    text: str


class ClientStep(TraceEvent, frozen=True):
    """The operator begins a step that a client asked for."""

    client: str
    text: str


class ScenarioEnded(TraceEvent, frozen=True):
    """The operator has carried out the scenario; `outcome` is `done` or `failed`."""

    outcome: str
    reason: str = ""


class StoreBuffered(TraceEvent, frozen=True):
    """A store, or a posted write, is made and not visible yet; it leaves when `timer` fires."""

    timer: str
    addresses: tuple[int, ...]
    values: tuple[int, ...]


class StoresLost(TraceEvent, frozen=True):
    """A PE has lost its power with stores and posted writes that had not left it."""

    addresses: tuple[int, ...]


TraceBody = (
    Phase
    | SystemState
    | PePower
    | PeEntered
    | PeHalted
    | SmcIssued
    | AffinityState
    | SystemSuspendDecision
    | SystemPower
    | Online
    | CpuMissing
    | FrozenCpus
    | PauseCount
    | DomainShutdown
    | SuspendPolicy
    | Watchdog
    | HeapUse
    | EventRaised
    | VcpuPlaced
    | ConsoleSync
    | IntState
    | Unpredictable
    | InterruptLost
    | LineEvent
    | VpsciCall
    | VpsciResult
    | GuestStarted
    | GuestReturned
    | GuestIrq
    | GuestWork
    | ScenarioStep
    | ClientStep
    | ScenarioEnded
    | StoreBuffered
    | StoresLost
)
"""Every trace a turn may carry."""
