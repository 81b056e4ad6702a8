"""The guests' half: what an accepted call ends in, and that no wake interrupt is lost."""

from dataclasses import dataclass, field

from proto.gic import SGI_COUNT
from proto.ids import DomainId, VcpuIndex
from proto.psci import MASK_32, Psci, PsciError, error_name, is_smc64, to_register
from proto.scenario import domain_ids
from proto.traces import (
    GuestIrq,
    GuestReturned,
    GuestStarted,
    GuestWork,
    InterruptLost,
    LineEvent,
    SystemPower,
    VpsciCall,
    VpsciResult,
)
from proto.units import S
from services.monitor.evidence import Moment, Table
from services.monitor.prop import PATIENCE_NS, Ending, Property, names
from services.monitor.shadow import Shadow

Vcpu = tuple[DomainId, VcpuIndex]

SCTLR_AT_ENTRY = 0x00C50078
PSTATE_AT_ENTRY = 0x3C5
SYSTEM_SUSPEND = (Psci.SYSTEM_SUSPEND, Psci.SYSTEM_SUSPEND_32)
CPU_ON = (Psci.CPU_ON, Psci.CPU_ON_32)


@dataclass(slots=True)
class Call:
    """A guest's SYSTEM_SUSPEND: its arguments, then its result."""

    position: int
    now: int
    entry: int
    context_id: int
    code: int | None = None


@dataclass(slots=True)
class VcpuCalls:
    """What a vCPU has asked for and is owed."""

    suspend: Call | None = None
    cpu_on_target: int | None = None
    starts: int = 0
    """How many starts CPU_ON calls (or the domain's creation) have earned it.

    A target may start before its caller has seen the result, so a call counts when it is made and
    is taken back when it is refused.
    """


class ResumeIsExact(Property):
    """Follows each vCPU from its call to its start or return."""

    name = "I3"
    clause = (
        "An accepted SYSTEM_SUSPEND ends in exactly one start at entry with x0 = context_id, other "
        "GPRs 0, MMU off; a refused one returns in place with its error (DEN 0022, SYSTEM_SUSPEND)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._vcpus: dict[Vcpu, VcpuCalls] = {}
        for domain in domain_ids(shadow.board.scenario):
            self._of(domain, 0).starts = 1

    @property
    def traced(self) -> Table:
        """Calls, results, starts and returns."""
        return {
            VpsciCall: self._on_call,
            VpsciResult: self._on_result,
            GuestStarted: self._on_started,
            GuestReturned: self._on_returned,
        }

    def _of(self, domain: int, vcpu: int) -> VcpuCalls:
        return self._vcpus.setdefault((DomainId(domain), VcpuIndex(vcpu)), VcpuCalls())

    def _on_call(self, moment: Moment, event: VpsciCall) -> None:
        calls = self._of(event.domain, event.vcpu)
        mask = -1 if is_smc64(event.function) else MASK_32
        if event.function in SYSTEM_SUSPEND:
            entry, context_id = event.args[0] & mask, event.args[1] & mask
            calls.suspend = Call(moment.position, moment.now, entry, context_id)
        elif event.function in CPU_ON:
            calls.cpu_on_target = event.args[0] & 0xFF
            self._of(event.domain, calls.cpu_on_target).starts += 1

    def _on_result(self, moment: Moment, event: VpsciResult) -> None:
        calls = self._of(event.domain, event.vcpu)
        if event.function in SYSTEM_SUSPEND and calls.suspend is not None:
            calls.suspend.code = event.code
        elif event.function in CPU_ON and calls.cpu_on_target is not None:
            if event.code != PsciError.SUCCESS:
                self._of(event.domain, calls.cpu_on_target).starts -= 1
            calls.cpu_on_target = None

    def _on_started(self, moment: Moment, event: GuestStarted) -> None:
        calls = self._of(event.domain, event.vcpu)
        call, who = calls.suspend, _who(event)
        if call is None or call.code is None:
            if calls.starts > 0:
                calls.starts -= 1
            else:
                self.find(f"{who} started at {event.entry:#x} without a call", moment.position)
            return
        self.reached = True
        calls.suspend = None
        where = (call.position, moment.position)
        if call.code != PsciError.SUCCESS:
            text = f"{who} was refused with {error_name(call.code)}, but started"
            self.find(f"{text} at {event.entry:#x}", *where)
        elif wrong := _wrong_registers(call, event):
            self.find(f"{who} resumed with {names(wrong)}", *where)

    def _on_returned(self, moment: Moment, event: GuestReturned) -> None:
        calls = self._of(event.domain, event.vcpu)
        call, who = calls.suspend, _who(event)
        calls.suspend = None
        if call is None or call.code is None:
            self.find(f"{who} returned from a SYSTEM_SUSPEND without a result", moment.position)
            return
        self.reached = True
        if call.code == PsciError.SUCCESS:
            text = f"{who}: SYSTEM_SUSPEND was accepted, but continued behind the call"
            self.find(f"{text} with x0 = {event.x0:#x}", call.position, moment.position)
        elif to_register(event.x0) != to_register(call.code):
            text = f"{who} was refused with {error_name(call.code)}, but returned"
            self.find(f"{text} x0 = {event.x0:#x}", call.position, moment.position)

    def finish(self, ending: Ending) -> None:
        """A refused call has to return; an accepted one may still sleep."""
        for (domain, vcpu), calls in sorted(self._vcpus.items()):
            call = calls.suspend
            if call is None or call.code in (None, PsciError.SUCCESS):
                continue
            text = f"domain {domain} vCPU {vcpu} was refused, but had not returned at the end"
            if ending.now - call.now > PATIENCE_NS:
                self.find(text, call.position, ending.position)
            else:
                self.undecided.append(text)


def _who(event: GuestStarted | GuestReturned) -> str:
    return f"domain {event.domain} vCPU {event.vcpu}"


def _wrong_registers(call: Call, event: GuestStarted) -> list[str]:
    """Registers that differ from the table of a resume."""
    x0, others = event.x[0], event.x[1:]
    expected = (
        ("PC", event.entry, call.entry),
        ("x0", x0, call.context_id),
        ("PSTATE", event.pstate, PSTATE_AT_ENTRY),
        ("SCTLR_EL1", event.sctlr, SCTLR_AT_ENTRY),
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


@dataclass(slots=True)
class Assertion:
    """One assertion of a wake source's line, and which GuestIrqs saw it."""

    position: int
    now: int
    count: int
    in_attempt: bool
    seen: list[int] = field(default_factory=list)


class WakeIsDelivered(Property):
    """Follows each assertion of a wake source from the device to the guest."""

    name = "I5"
    clause = (
        "A wake interrupt arriving at any point prevents or ends the sleep "
        "and is delivered exactly once"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._high: dict[int, Assertion] = {}
        self._asleep_since_ns: int | None = None

    @property
    def traced(self) -> Table:
        """Lines, guests' acknowledgements, sleeping and waking, losses."""
        return {
            LineEvent: self._on_line,
            GuestIrq: self._on_guest_irq,
            SystemPower: self._on_system_power,
            InterruptLost: self._on_lost,
        }

    def _on_line(self, moment: Moment, event: LineEvent) -> None:
        if event.intid not in self.shadow.board.platform.wake_sources:
            return
        assertion = self._high.pop(event.intid, None)
        if assertion is not None and not assertion.seen:
            text = f"{_which(event.intid, assertion)} ended without any guest seeing it"
            self.find(text, assertion.position, moment.position)
        if event.level:
            in_attempt = self.shadow.attempt is not None
            self.reached = self.reached or in_attempt
            self._high[event.intid] = Assertion(
                moment.position, moment.now, event.count, in_attempt
            )

    def _on_guest_irq(self, moment: Moment, event: GuestIrq) -> None:
        assertion = self._high.get(event.intid)
        if assertion is None:
            return
        assertion.seen.append(moment.position)
        if len(assertion.seen) == 2:
            text = f"{_which(event.intid, assertion)} was delivered more than once"
            self.find(text, assertion.position, *assertion.seen)

    def _on_system_power(self, moment: Moment, event: SystemPower) -> None:
        self._check_awake(moment.position, moment.now)
        self._asleep_since_ns = moment.now if event.state == "sleeping" else None

    def _check_awake(self, position: int, now: int) -> None:
        """A line that is high must have ended the sleep long before now."""
        if self._asleep_since_ns is None:
            return
        for intid, assertion in sorted(self._high.items()):
            due_ns = max(self._asleep_since_ns, assertion.now) + PATIENCE_NS
            text = f"{_which(intid, assertion)} did not end the sleep"
            if now > due_ns:
                self.miss(f"{text} within {PATIENCE_NS // S} s", assertion.position, position)

    def _on_lost(self, moment: Moment, event: InterruptLost) -> None:
        if event.intid < SGI_COUNT:
            # Xen's SGIs only make a CPU look at words in RAM, which outlive them.
            return
        text = f"{event.block} lost INTID {event.intid}, which was latched in it, with its power"
        self.find(text, moment.position)

    def finish(self, ending: Ending) -> None:
        """What is still high is lost if it is old, and undecided if it is young."""
        self._check_awake(ending.position, ending.now)
        for intid, assertion in sorted(self._high.items()):
            if assertion.seen:
                continue
            text = f"{_which(intid, assertion)} had not been delivered at the end"
            if ending.now - assertion.now > PATIENCE_NS and ending.complete:
                self.miss(text, assertion.position, ending.position)
            else:
                self.undecided.append(text)


def _which(intid: int, assertion: Assertion) -> str:
    during = " during a suspend attempt" if assertion.in_attempt else ""
    return f"assertion {assertion.count} of INTID {intid}{during}"


class WorkloadIsIntact(Property):
    """The guests check themselves."""

    name = "workload"
    clause = "Every guest's memory, tickets and clock are intact after every round of its workload"

    @property
    def traced(self) -> Table:
        """Rounds."""
        return {GuestWork: self._on_work}

    def _on_work(self, moment: Moment, event: GuestWork) -> None:
        self.reached = True
        if not event.intact:
            who = f"domain {event.domain} vCPU {event.vcpu}"
            self.find(f"{who}, round {event.rounds}: {event.detail}", moment.position)
