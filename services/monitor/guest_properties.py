"""The guests' half: what an accepted call ends in, and that a wake interrupt comes just once."""

from dataclasses import dataclass, field

from proto.gic import GICC, SGI_COUNT
from proto.ids import DomainId, VcpuIndex
from proto.messages import RegRead
from proto.platform import GICC_BASE
from proto.psci import MASK_32, PsciError, error_name, is_smc64, to_register
from proto.scenario import Parking, Role, domain_ids
from proto.traces import (
    DomainShutdown,
    GuestIrq,
    GuestReturned,
    GuestStarted,
    GuestWork,
    InterruptLost,
    IntState,
    LineEvent,
    SystemPower,
    VpsciCall,
    VpsciResult,
)
from proto.units import MS, S
from services.monitor.attempts import Attempt
from services.monitor.evidence import Moment, Table
from services.monitor.guest_calls import (
    CPU_ON,
    SYSTEM_SUSPEND,
    Call,
    Debt,
    Vcpu,
    VcpuCalls,
    called_for,
    device_owners,
    wrong_registers,
)
from services.monitor.prop import EVENTUALLY, PATIENCE_NS, Ending, Property, names
from services.monitor.shadow import Shadow


class ResumeIsExact(Property):
    """Follows each vCPU from its call to its start or return.

    A start is owed in `PATIENCE_NS` of the time during which the domain is not paused: after
    CPU_ON, from its result; after SYSTEM_SUSPEND, once the attempt to suspend the host is over that
    the domain asked for. A domain that sleeps by itself is owed one once an interrupt of its own
    devices has come, or, where it was parked by a shutdown, once that has been taken back.
    """

    name = "I3"
    kind = EVENTUALLY
    clause = (
        "An accepted SYSTEM_SUSPEND ends in exactly one start at entry with x0 = context_id, other "
        "GPRs 0, MMU off, so does a CPU_ON; a refused one returns in place with its error "
        "(DEN 0022, SYSTEM_SUSPEND, CPU_ON)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._vcpus: dict[Vcpu, VcpuCalls] = {}
        self._owner = device_owners(shadow)
        for domain in domain_ids(shadow.board.scenario):
            self._of(domain, 0).created = True
        self._arch = {spec.id: spec.arch for spec in shadow.board.scenario.domains}
        self._parked_by_shutdown = shadow.board.profile.parking is Parking.SHUTDOWN
        self._hardware = [
            spec.id for spec in shadow.board.scenario.domains if spec.role is Role.HARDWARE
        ]

    @property
    def traced(self) -> Table:
        """Calls, results, starts and returns; device lines."""
        return {
            VpsciCall: self._on_call,
            VpsciResult: self._on_result,
            GuestStarted: self._on_started,
            GuestReturned: self._on_returned,
            LineEvent: self._on_line,
            DomainShutdown: self._on_shutdown,
        }

    def _of(self, domain: int, vcpu: int) -> VcpuCalls:
        return self._vcpus.setdefault((DomainId(domain), VcpuIndex(vcpu)), VcpuCalls())

    # -- calls and their results

    def _on_call(self, moment: Moment, event: VpsciCall) -> None:
        calls = self._of(event.domain, event.vcpu)
        mask = -1 if is_smc64(event.function) else MASK_32
        first, second, third = (arg & mask for arg in event.args)
        if event.function in SYSTEM_SUSPEND:
            calls.suspend = Call(moment.position, moment.now, first, second)
        elif event.function in CPU_ON:
            target = (DomainId(event.domain), VcpuIndex(first & 0xFF))
            call = Call(moment.position, moment.now, second, third)
            calls.cpu_on = (target, call)
            self._of(*target).earned.append(call)

    def _on_result(self, moment: Moment, event: VpsciResult) -> None:
        calls = self._of(event.domain, event.vcpu)
        if event.function in SYSTEM_SUSPEND and calls.suspend is not None:
            calls.suspend.code = event.code
            self._look_at_lines(moment, event.domain, calls.suspend)
        elif event.function in CPU_ON and calls.cpu_on is not None:
            (target, call), calls.cpu_on = calls.cpu_on, None
            call.code = event.code
            if event.code == PsciError.SUCCESS:
                self._accept_cpu_on(moment, target, call)
            else:
                self._refuse_cpu_on(moment, target, call, event.code)

    def _accept_cpu_on(self, moment: Moment, target: Vcpu, call: Call) -> None:
        if call.started is not None:
            self._of(*target).earned.remove(call)
        else:
            call.debt = self._debt(moment.position, moment.now, target[0], "accepted CPU_ON")

    def _refuse_cpu_on(self, moment: Moment, target: Vcpu, call: Call, code: int) -> None:
        """A start that seemed to be this call's was another one's, or nobody's."""
        earned = self._of(*target).earned
        earned.remove(call)
        if call.started is None:
            return
        for other in earned:
            if other.started is None and other.code is None:
                other.started = call.started
                return
        text = f"{_who(*target)} started, but CPU_ON was refused with {error_name(code)}"
        self.find(text, call.position, call.started, moment.position)

    # -- starts and returns

    def _on_started(self, moment: Moment, event: GuestStarted) -> None:
        calls = self._of(event.domain, event.vcpu)
        call, who = calls.suspend, _who(event.domain, event.vcpu)
        if call is None or call.code is None:
            self._started_otherwise(moment, event, calls)
            return
        self.reached = True
        calls.suspend = None
        where = (call.position, moment.position)
        if call.code != PsciError.SUCCESS:
            text = f"{who} was refused with {error_name(call.code)}, but started"
            self.find(f"{text} at {event.entry:#x}", *where)
            return
        if wrong := wrong_registers(call, event, self._arch[event.domain]):
            self.find(f"{who} resumed with {names(wrong)}", *where)
        self._check_in_time(moment, event, call)

    def _started_otherwise(self, moment: Moment, event: GuestStarted, calls: VcpuCalls) -> None:
        """A start by CPU_ON, or by the creation of the domain."""
        who = _who(event.domain, event.vcpu)
        call = called_for(calls.earned, event.entry)
        if call is not None:
            call.started = moment.position
            if call.code is not None:
                calls.earned.remove(call)
            if wrong := wrong_registers(call, event, self._arch[event.domain]):
                where = (call.position, moment.position)
                self.find(f"{who} was started by CPU_ON with {names(wrong)}", *where)
            self._check_in_time(moment, event, call)
        elif calls.created:
            calls.created = False
        else:
            self.find(f"{who} started at {event.entry:#x} without a call", moment.position)

    def _on_returned(self, moment: Moment, event: GuestReturned) -> None:
        calls = self._of(event.domain, event.vcpu)
        call, who = calls.suspend, _who(event.domain, event.vcpu)
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

    # -- what is owed

    def _on_shutdown(self, moment: Moment, event: DomainShutdown) -> None:
        """A shutdown that is taken back ends the sleep it began."""
        if event.state == "none":
            self._owe_start(moment, event.domain, "its resume")

    def _on_line(self, moment: Moment, event: LineEvent) -> None:
        """An interrupt of its own wakes a domain that sleeps by itself."""
        domain = self._owner.get(event.intid)
        if domain is None or not event.level or self._parked_by_shutdown:
            return
        for (owner, _), calls in sorted(self._vcpus.items()):
            if owner == domain and calls.suspend is not None:
                self._owe_wake(moment.position, moment.now, domain, event.intid, calls.suspend)

    def _look_at_lines(self, moment: Moment, domain: int, call: Call) -> None:
        """One that came between the call and its acceptance counts too, from the acceptance."""
        if self._parked_by_shutdown:
            return
        for intid, owner in sorted(self._owner.items()):
            raised = self.shadow.lines.get(intid)
            if owner == domain and raised is not None and raised[0] > call.position:
                self._owe_wake(raised[0], moment.now, domain, intid, call)

    def _owe_wake(self, position: int, now: int, domain: int, intid: int, call: Call) -> None:
        if call.code == PsciError.SUCCESS and call.debt is None:
            call.debt = self._debt(position, now, domain, f"its interrupt {intid}")

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """Slept or not, who asked for it starts at its entry (R9)."""
        asked = self._hardware if not self._parked_by_shutdown else [self.shadow.initiator]
        for domain in asked:
            if domain is not None:
                self._owe_start(moment, domain, f"the end of attempt {attempt.number}")

    def _owe_start(self, moment: Moment, domain: int, because: str) -> None:
        for (owner, _), calls in sorted(self._vcpus.items()):
            call = calls.suspend
            if owner != domain or call is None or call.code != PsciError.SUCCESS:
                continue
            if call.position < moment.position and call.debt is None:
                call.debt = self._debt(moment.position, moment.now, domain, because)

    def _debt(self, position: int, now: int, domain: int, because: str) -> Debt:
        return Debt(position, self.shadow.unpaused_ns(domain, now), because)

    def _waited_ns(self, debt: Debt, domain: int, now: int) -> int:
        return self.shadow.unpaused_ns(domain, now) - debt.since_ns

    def _check_in_time(self, moment: Moment, event: GuestStarted, call: Call) -> None:
        if call.debt is None:
            return
        waited_ns = self._waited_ns(call.debt, event.domain, moment.now)
        if waited_ns > PATIENCE_NS:
            text = f"{_who(event.domain, event.vcpu)} started only {waited_ns // MS} ms after"
            self.miss(f"{text} {call.debt.because}", call.debt.position, moment.position)

    def finish(self, ending: Ending) -> None:
        """A refused call has to return, an owed start to come; who is owed none may sleep."""
        for (domain, vcpu), calls in sorted(self._vcpus.items()):
            who = _who(domain, vcpu)
            call = calls.suspend
            if call is not None and call.code not in (None, PsciError.SUCCESS):
                text = f"{who} was refused, but had not returned at the end"
                if ending.now - call.now > PATIENCE_NS:
                    self.find(text, call.position, ending.position)
                else:
                    self.undecided.append(text)
            for owed in (*calls.earned, *([call] if call is not None else [])):
                if owed.debt is not None:
                    self._finish_debt(ending, domain, who, owed.debt)

    def _finish_debt(self, ending: Ending, domain: int, who: str, debt: Debt) -> None:
        text = f"{who} had not started at the end, {PATIENCE_NS // S} s after {debt.because}"
        if ending.complete and self._waited_ns(debt, domain, ending.now) > PATIENCE_NS:
            self.miss(text, debt.position, ending.position)
        else:
            self.undecided.append(f"{who} had not started at the end, after {debt.because}")


def _who(domain: int, vcpu: int) -> str:
    return f"domain {domain} vCPU {vcpu}"


@dataclass(slots=True)
class Assertion:
    """One assertion of a wake source's line, and which GuestIrqs saw it."""

    position: int
    now: int
    count: int
    in_attempt: bool
    runnable_ns: int = 0
    """For how long its owner had been able to run when it came."""
    seen: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Delivery:
    """What the GIC and the guest have done about one interrupt.

    A GuestIrq is `due` once after each assertion, and once after each time that Xen has taken the
    interrupt from the GIC: a level that is still high at the guest's deactivation, or was on its
    way down, makes the interrupt pending again. A second one without either came from Xen alone.
    """

    active: bool = False
    due: bool = False
    last: int | None = None
    """Position of the last GuestIrq."""
    assertion: Assertion | None = None
    """The last assertion, also after the line has fallen."""


class WakeIsDelivered(Property):
    """Follows each assertion of a wake source from the device to the guest."""

    name = "I5"
    kind = EVENTUALLY
    clause = (
        "A wake interrupt arriving at any point prevents or ends the sleep "
        "and is delivered exactly once"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._high: dict[int, Assertion] = {}
        self._owner = device_owners(shadow)
        self._wakes = frozenset(shadow.board.platform.wake_sources)
        self._deliveries: dict[int, Delivery] = {
            intid: Delivery() for intid in sorted(self._wakes | self._owner.keys())
        }
        self._acknowledging = -1
        """Position of the last turn that answered a read of GICC_IAR."""
        self._asleep_since_ns: int | None = None

    @property
    def traced(self) -> Table:
        """Lines, guests' acknowledgements, sleeping and waking, losses."""
        return {
            LineEvent: self._on_line,
            IntState: self._on_int_state,
            GuestIrq: self._on_guest_irq,
            SystemPower: self._on_system_power,
            InterruptLost: self._on_lost,
        }

    @property
    def received(self) -> Table:
        """Reads of GICC_IAR: what becomes active in one has been acknowledged."""
        return {RegRead: self._on_read}

    def _on_read(self, moment: Moment, body: RegRead) -> None:
        if body.address == GICC_BASE + GICC.IAR.offset:
            self._acknowledging = moment.position

    def _on_int_state(self, moment: Moment, event: IntState) -> None:
        delivery = self._deliveries.get(event.intid)
        if delivery is None:
            return
        if event.active and not delivery.active and moment.position == self._acknowledging:
            delivery.due = True
        delivery.active = event.active

    def _on_line(self, moment: Moment, event: LineEvent) -> None:
        delivery = self._deliveries.get(event.intid)
        if delivery is None:
            return
        assertion = self._high.pop(event.intid, None)
        if assertion is not None and not assertion.seen:
            text = f"{_which(event.intid, assertion)} ended without any guest seeing it"
            self.find(text, assertion.position, moment.position)
        if event.level:
            in_attempt = self.shadow.attempt is not None
            self.reached = self.reached or in_attempt
            owner = self._owner.get(event.intid)
            able_ns = 0 if owner is None else self.shadow.runnable_ns(owner, moment.now)
            asserted = Assertion(moment.position, moment.now, event.count, in_attempt, able_ns)
            self._high[event.intid] = delivery.assertion = asserted
            delivery.due = True

    def _on_guest_irq(self, moment: Moment, event: GuestIrq) -> None:
        delivery = self._deliveries.get(event.intid)
        if delivery is None:
            return
        if event.intid in self._high:
            self._high[event.intid].seen.append(moment.position)
        if not delivery.due:
            self._accuse(moment, event, delivery)
        delivery.due, delivery.last = False, moment.position

    def _accuse(self, moment: Moment, event: GuestIrq, delivery: Delivery) -> None:
        if delivery.assertion is None or delivery.last is None:
            text = f"INTID {event.intid} was delivered, but its line was never asserted"
            self.find(text, moment.position)
        else:
            text = f"{_which(event.intid, delivery.assertion)} was delivered more than once"
            self.find(text, delivery.assertion.position, delivery.last, moment.position)

    def _on_system_power(self, moment: Moment, event: SystemPower) -> None:
        self._check_awake(moment.position, moment.now)
        self._asleep_since_ns = moment.now if event.state == "sleeping" else None

    def _check_awake(self, position: int, now: int) -> None:
        """A line that is high must have ended the sleep long before now."""
        if self._asleep_since_ns is None:
            return
        for intid, assertion in sorted(self._high.items()):
            if intid not in self._wakes:
                continue
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
            if assertion.seen or not self.shadow.can_run(self._owner.get(intid, -1)):
                # Xen keeps it pending for a guest that is paused or shut down.
                continue
            text = f"{_which(intid, assertion)} had not been delivered at the end"
            waited_ns = self._waited_ns(intid, assertion, ending.now)
            if waited_ns > PATIENCE_NS and ending.complete:
                self.miss(text, assertion.position, ending.position)
            else:
                self.undecided.append(text)

    def _waited_ns(self, intid: int, assertion: Assertion, now: int) -> int:
        """Board time for which its owner could have taken it."""
        owner = self._owner.get(intid)
        since_ns = now - assertion.now
        if owner is None:
            return since_ns
        return min(since_ns, self.shadow.runnable_ns(owner, now) - assertion.runnable_ns)


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
