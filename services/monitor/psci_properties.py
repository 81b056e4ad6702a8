"""The clauses of PSCI (DEN 0022) that the firmware owes Xen, judged on SMCs and published states.

Who may call SYSTEM_SUSPEND, and when it may be accepted, is I1's (`host_properties.py`).
"""

from dataclasses import dataclass

from proto.ids import cpu_of, is_el3
from proto.messages import Eret, PowerOn
from proto.psci import Affinity, Psci, PsciError, error_name
from proto.smccc import SMCCC_VERSION
from proto.traces import AffinityState, PePower
from services.monitor.evidence import Moment, Table
from services.monitor.prop import EVENTUALLY, Ending, Property, names
from services.monitor.psci_calls import ColdBoots, PhysicalCall, PhysicalCalls, States, target_of
from services.monitor.shadow import Shadow

CPU_ON = (Psci.CPU_ON, Psci.CPU_ON_32)
AFFINITY_INFO = (Psci.AFFINITY_INFO, Psci.AFFINITY_INFO_32)
RESUMING = {
    Psci.SYSTEM_SUSPEND: 0,
    Psci.SYSTEM_SUSPEND_32: 0,
    Psci.CPU_DEFAULT_SUSPEND: 0,
    Psci.CPU_DEFAULT_SUSPEND_32: 0,
    Psci.CPU_SUSPEND: 1,
    Psci.CPU_SUSPEND_32: 1,
}
"""Calls after which the caller may start afresh: which argument is the entry, before context_id."""

ON_ANSWERS = {
    PsciError.ALREADY_ON: "ON",
    PsciError.ON_PENDING: "ON_PENDING",
    PsciError.SUCCESS: "OFF",
}
"""What a CPU_ON answers, and the target's state that lets it."""

BY_ITSELF, BY_OTHERS = True, False
LEGAL = {
    ("OFF", "ON_PENDING"): BY_OTHERS,
    ("ON_PENDING", "ON"): BY_ITSELF,
    ("ON", "OFF"): BY_ITSELF,
    # The platform gave no power: the call is answered with INTERNAL_FAILURE.
    ("ON_PENDING", "OFF"): BY_OTHERS,
}
"""Changes of the state of a PE, and whether its own firmware publishes them or a caller's."""


class StatesAreLegal(Property):
    """Judged on each published state, and where firmware acts upon one."""

    name = "psci_state"
    bare = True
    clause = (
        "A PE goes from OFF by ON_PENDING to ON and back to OFF, has its power asked for in "
        "ON_PENDING and is entered in ON (DEN 0022, AFFINITY_INFO; CPU_ON, Return values)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._cold = ColdBoots()
        self._states = dict(shadow.affinity)
        self._published: dict[int, int] = {}
        """By CPU: the position of the last change."""

    @property
    def traced(self) -> Table:
        """States, and resets."""
        return {AffinityState: self._on_state, PePower: self._cold.power}

    @property
    def sent(self) -> Table:
        """Requests for power, and entries."""
        return {PowerOn: self._on_power_on, Eret: self._on_eret}

    def _on_state(self, moment: Moment, event: AffinityState) -> None:
        was, publisher = self._states[event.cpu], cpu_of(moment.node)
        before = self._published.get(event.cpu, moment.position)
        self._states[event.cpu], self._published[event.cpu] = event.state, moment.position
        if publisher in self._cold:
            return
        self.reached = True
        text = f"CPU{event.cpu} went from {was} to {event.state}"
        by_itself = LEGAL.get((was, event.state))
        if by_itself is None:
            self.find(f"{text}, published by {moment.node}", before, moment.position)
        elif by_itself is not (publisher == event.cpu):
            whose = "its own" if by_itself else "a caller's"
            text += f": published by {moment.node}, but that is for {whose} firmware"
            self.find(text, before, moment.position)

    def _on_power_on(self, moment: Moment, body: PowerOn) -> None:
        # Whoever else asks is refused by the hub, and no power comes of it.
        if is_el3(moment.node):
            self._expect(moment, body.cpu, "ON_PENDING", "power was asked for it")

    def _on_eret(self, moment: Moment, body: Eret) -> None:
        if is_el3(moment.node) and not self._cold.over(cpu_of(moment.node)):
            self._expect(moment, cpu_of(moment.node), "ON", "it was entered")

    def _expect(self, moment: Moment, cpu: int, wanted: str, what: str) -> None:
        state = self._states[cpu]
        if state != wanted:
            text = f"CPU{cpu} was {state} when {what}, not {wanted}"
            self.find(text, self._published.get(cpu, moment.position), moment.position)


@dataclass(slots=True)
class Start:
    """An entry that a PE owes: its call, and where that published ON_PENDING."""

    call: PhysicalCall
    entry: int
    context_id: int
    position: int


class StartsAreExact(Property):
    """Follows each CPU_ON from the call to the entry of its target, and each suspend to its end.

    The bench may hold a start up, by an armed point or at the rail; that time does not count.
    """

    name = "psci_on"
    bare = True
    kind = EVENTUALLY
    clause = (
        "CPU_ON answers as the target's state allows, and each SUCCESS leads to one entry, at "
        "the call's entry point with context_id in x0; so does a suspend that ends in a power-up "
        "(DEN 0022, CPU_ON, Return values, Caller responsibilities; SYSTEM_SUSPEND; CPU_SUSPEND)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._calls = PhysicalCalls(shadow, self._on_returned)
        self._states = States(shadow)
        self._cold = ColdBoots()
        self._starts: dict[int, Start] = {}
        self._suspends: dict[int, PhysicalCall] = {}
        """By CPU: the last call that may end in a power-up."""
        self._entered: set[int] = set()
        """CPUs that have been entered since their start was earned."""

    @property
    def traced(self) -> Table:
        """States, and rails."""
        return {AffinityState: self._on_state, PePower: self._on_power}

    @property
    def received(self) -> Table:
        """Calls."""
        return self._calls.received

    @property
    def sent(self) -> Table:
        """Returns and entries."""
        return {**self._calls.sent, Eret: self._on_eret}

    def _on_power(self, moment: Moment, event: PePower) -> None:
        self._cold.power(moment, event)
        if not event.on:
            cpu = cpu_of(moment.node)
            self._entered.discard(cpu)
            if (call := self._calls.open.pop(cpu, None)) and call.function in RESUMING:
                self._suspends[cpu] = call

    def _on_state(self, moment: Moment, event: AffinityState) -> None:
        self._states.change(moment, event)
        publisher = cpu_of(moment.node)
        call = self._calls.open.get(publisher)
        if publisher in self._cold or call is None or call.function not in CPU_ON:
            return
        if event.state == "ON_PENDING":
            call.started = moment.position
            _, entry, context_id = call.values
            self._starts[event.cpu] = Start(call, entry, context_id, moment.position)
        elif event.state == "OFF":
            self._starts.pop(event.cpu, None)

    def _on_returned(self, moment: Moment, call: PhysicalCall, code: int) -> None:
        if call.function not in CPU_ON or code not in ON_ANSWERS:
            return
        target = target_of(self.shadow, call.values[0])
        if target is None:
            return
        self.reached = True
        wanted = ON_ANSWERS[PsciError(code)]
        seen = self._states.during(target, call.now)
        text = f"CPU_ON of CPU{target} by CPU{call.caller} was answered {error_name(code)}"
        if wanted not in seen:
            text += f", but the target was {' and '.join(sorted(seen))}"
            self.find(text, call.position, moment.position)
        elif code == PsciError.SUCCESS and call.started is None:
            self.find(f"{text}, but started nothing", call.position, moment.position)

    def _on_eret(self, moment: Moment, body: Eret) -> None:
        if not is_el3(moment.node) or self._cold.over(cpu_of(moment.node)):
            return
        cpu = cpu_of(moment.node)
        self.reached = True
        if cpu in self._entered:
            self.find(f"CPU{cpu} was entered twice for one start", moment.position)
            return
        self._entered.add(cpu)
        start = self._starts.pop(cpu, None)
        suspend = self._suspends.pop(cpu, None)
        if start is not None:
            self._compare(moment, body, cpu, start.call, start.entry, start.context_id)
        elif suspend is not None:
            first = RESUMING[Psci(suspend.function)]
            entry, context_id = suspend.values[first : first + 2]
            self._compare(moment, body, cpu, suspend, entry, context_id)
        else:
            self.find(f"CPU{cpu} was entered, but nobody had asked for it", moment.position)

    def _compare(
        self, moment: Moment, body: Eret, cpu: int, call: PhysicalCall, entry: int, context_id: int
    ) -> None:
        wrong = [
            f"{name} {value:#x} instead of {wanted:#x}"
            for name, value, wanted in (("PC", body.entry, entry), ("x0", body.x0, context_id))
            if value != wanted
        ]
        if wrong:
            text = f"CPU{cpu} was entered with {names(wrong)}"
            self.find(text, call.position, moment.position)

    def finish(self, ending: Ending) -> None:
        """Whoever was promised a start must have had it."""
        for cpu, start in sorted(self._starts.items()):
            text = f"CPU{cpu} had not been entered at the end, though CPU_ON had begun its start"
            call = start.call
            self.owed(ending, text, call.now, call.unheld_ns, call.position, start.position)


class OffIsOff(Property):
    """Follows each CPU_OFF to the loss of power, or to its refusal."""

    name = "psci_off"
    bare = True
    kind = EVENTUALLY
    clause = (
        "CPU_OFF returns only to refuse with DENIED; else its caller becomes OFF and loses its "
        "power (DEN 0022, CPU_OFF, Return values)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._calls = PhysicalCalls(shadow, self._on_returned)
        self._published: dict[int, int] = {}
        """By CPU: the position at which it published OFF."""

    @property
    def traced(self) -> Table:
        """States, and rails."""
        return {AffinityState: self._on_state, PePower: self._on_power}

    @property
    def received(self) -> Table:
        """Calls."""
        return self._calls.received

    @property
    def sent(self) -> Table:
        """Returns."""
        return self._calls.sent

    def _on_state(self, moment: Moment, event: AffinityState) -> None:
        if event.state == "OFF" and event.cpu == cpu_of(moment.node):
            self._published[event.cpu] = moment.position

    def _on_power(self, moment: Moment, event: PePower) -> None:
        if event.on:
            return
        cpu = cpu_of(moment.node)
        call = self._calls.open.pop(cpu, None)
        if call is None or call.function != Psci.CPU_OFF:
            return
        self.reached = True
        if self._published.get(cpu, -1) < call.position:
            text = f"CPU{cpu} lost its power in CPU_OFF, but OFF was never published for it"
            self.find(text, call.position, moment.position)

    def _on_returned(self, moment: Moment, call: PhysicalCall, code: int) -> None:
        if call.function != Psci.CPU_OFF:
            return
        self.reached = True
        where = (call.position, moment.position)
        if code != PsciError.DENIED:
            self.find(f"CPU_OFF of CPU{call.caller} returned {error_name(code)}", *where)
        elif self._published.get(call.caller, -1) >= call.position:
            text = f"CPU_OFF of CPU{call.caller} was DENIED, but OFF was published for it"
            self.find(text, *where)

    def finish(self, ending: Ending) -> None:
        """Whoever was accepted must be off."""
        for cpu, call in sorted(self._calls.open.items()):
            if call.function == Psci.CPU_OFF:
                text = f"CPU{cpu} was still inside CPU_OFF at the end"
                self.owed(ending, text, call.now, call.unheld_ns, call.position)


class AffinityInfoIsTrue(Property):
    """Compared with the states that a reader may have found in memory during the call."""

    name = "psci_info"
    bare = True
    clause = (
        "AFFINITY_INFO answers with a state that the PE was in during the call "
        "(DEN 0022, AFFINITY_INFO, Return values)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._calls = PhysicalCalls(shadow, self._on_returned)
        self._states = States(shadow)

    @property
    def traced(self) -> Table:
        """States."""
        return {AffinityState: self._states.change}

    @property
    def received(self) -> Table:
        """Calls."""
        return self._calls.received

    @property
    def sent(self) -> Table:
        """Returns."""
        return self._calls.sent

    def _on_returned(self, moment: Moment, call: PhysicalCall, code: int) -> None:
        target = target_of(self.shadow, call.values[0])
        if call.function not in AFFINITY_INFO or target is None or code not in tuple(Affinity):
            return
        self.reached = True
        seen = self._states.during(target, call.now)
        answered = Affinity(code).name
        if answered not in seen:
            text = f"AFFINITY_INFO said that CPU{target} was {answered}, but it was"
            self.miss(f"{text} {' and '.join(sorted(seen))}", call.position, moment.position)


class FeaturesAreTrue(Property):
    """Compares what PSCI_FEATURES says of a function with how calls of it end."""

    name = "psci_feat"
    bare = True
    clause = (
        "A function that PSCI_FEATURES reports as implemented never answers NOT_SUPPORTED, and one "
        "that it does not report always does (DEN 0022, PSCI_FEATURES)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._calls = PhysicalCalls(shadow, self._on_returned)
        self._said: dict[int, tuple[bool, int]] = {}
        """By function: whether it is there, and where that was said."""

    @property
    def received(self) -> Table:
        """Calls."""
        return self._calls.received

    @property
    def sent(self) -> Table:
        """Returns."""
        return self._calls.sent

    def _on_returned(self, moment: Moment, call: PhysicalCall, code: int) -> None:
        supported = code != PsciError.NOT_SUPPORTED
        if call.function == Psci.FEATURES:
            self._said[call.values[0]] = (supported, moment.position)
        elif call.function in self._said and call.function != SMCCC_VERSION:
            self.reached = True
            promised, position = self._said[call.function]
            if promised is not supported:
                answer = "there" if promised else "not there"
                text = f"PSCI_FEATURES said that {call.function:#x} is {answer}, but it answered"
                self.find(f"{text} {error_name(code)}", position, call.position, moment.position)
