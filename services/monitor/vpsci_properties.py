"""The clauses of PSCI (DEN 0022) that Xen owes its guests, judged on their calls and results.

That an accepted CPU_ON or SYSTEM_SUSPEND leads to one exact start is I3's (`guest_properties.py`).
"""

from dataclasses import dataclass, field

from proto.messages import VcpuRun
from proto.psci import MASK_32, Affinity, Psci, PsciError, error_name
from proto.smccc import SMCCC_VERSION
from proto.traces import VpsciCall, VpsciResult
from services.monitor.evidence import Moment, Table
from services.monitor.guest_calls import CPU_ON
from services.monitor.prop import Property
from services.monitor.shadow import Shadow, domain_of

AFFINITY_INFO = (Psci.AFFINITY_INFO, Psci.AFFINITY_INFO_32)
ABOUT_OTHERS = (*CPU_ON, *AFFINITY_INFO)
"""Calls whose first argument names a vCPU."""

Key = tuple[int, int]


@dataclass(slots=True)
class GuestCall:
    """A guest's call under way."""

    position: int
    function: int
    target: Key
    found_off: bool
    """Whether its target was off for certain when it began."""


@dataclass(slots=True)
class Power:
    """A vCPU between CPU_OFF and CPU_ON. `offs` are the CPU_OFFs that no CPU_ON has used up yet."""

    offs: int
    off: bool
    """It is off for certain: nobody may find it on."""
    changed: int = -1
    """Position of the last CPU_OFF, or of the last CPU_ON that succeeded."""
    starting: list[GuestCall] = field(default_factory=list)
    """CPU_ONs for it that are under way."""


class VpsciIsTrue(Property):
    """Judged on each result; what a concurrent call may have changed is given the doubt's benefit.

    A vCPU is off for certain from the result of its CPU_OFF until somebody calls CPU_ON for it.
    """

    name = "vpsci"
    clause = (
        "A guest's CPU_ON answers SUCCESS once for each time that its target was off, else "
        "ALREADY_ON; AFFINITY_INFO and PSCI_FEATURES tell the truth; after CPU_OFF a vCPU runs no "
        "more (DEN 0022, CPU_ON, CPU_OFF, AFFINITY_INFO, PSCI_FEATURES)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._calls: dict[Key, GuestCall] = {}
        self._powers: dict[Key, Power] = {}
        self._off: dict[Key, int] = {}
        """vCPUs that are off for certain after a CPU_OFF, with the position of its result."""
        self._said: dict[tuple[int, int], tuple[bool, int]] = {}
        """By domain and function: what PSCI_FEATURES said, and where."""

    @property
    def traced(self) -> Table:
        """Calls and results."""
        return {VpsciCall: self._on_call, VpsciResult: self._on_result}

    @property
    def received(self) -> Table:
        """Entries of guests."""
        return {VcpuRun: self._on_run}

    def _power(self, key: Key) -> Power:
        """A domain starts with its first vCPU on, and all others off."""
        off = key[1] != 0
        return self._powers.setdefault(key, Power(int(off), off))

    def _on_call(self, moment: Moment, event: VpsciCall) -> None:
        caller = (event.domain, event.vcpu)
        target = caller
        if event.function in ABOUT_OTHERS:
            target = (event.domain, event.args[0] & 0xFF)
        elif event.function == Psci.FEATURES:
            target = (event.domain, event.args[0] & MASK_32)
        power = self._power(target)
        call = GuestCall(moment.position, event.function, target, power.off)
        self._calls[caller] = call
        if event.function in CPU_ON:
            power.starting.append(call)
            power.off = False
            self._off.pop(target, None)
        elif event.function == Psci.CPU_OFF:
            power.offs, power.changed = power.offs + 1, moment.position

    def _on_result(self, moment: Moment, event: VpsciResult) -> None:
        call = self._calls.pop((event.domain, event.vcpu), None)
        if call is None:
            return
        if call.function in CPU_ON:
            self._on_cpu_on(moment, call, event.code)
        elif call.function in AFFINITY_INFO:
            self._on_affinity_info(moment, call, event.code)
        elif call.function == Psci.CPU_OFF:
            self._on_cpu_off(moment, call, event.code)
        elif call.function == Psci.FEATURES:
            supported = event.code != PsciError.NOT_SUPPORTED
            self._said[call.target] = (supported, moment.position)
            return
        self._check_feature(moment, call, event)

    def _on_cpu_on(self, moment: Moment, call: GuestCall, code: int) -> None:
        power = self._power(call.target)
        power.starting.remove(call)
        text = f"CPU_ON of {_who(call.target)} was answered {error_name(code)}"
        if code == PsciError.SUCCESS:
            self.reached = True
            if not power.offs:
                where = (max(power.changed, 0), call.position, moment.position)
                self.find(f"{text}, but it was on", *where)
                return
            power.offs, power.changed = power.offs - 1, moment.position
        elif code == PsciError.ALREADY_ON:
            self.reached = True
            if self._was_off_throughout(power, call):
                self.find(f"{text}, but it was off", call.position, moment.position)
                power.off = True
        elif call.found_off and self._was_off_throughout(power, call):
            power.off = True

    def _was_off_throughout(self, power: Power, call: GuestCall) -> bool:
        """Nobody else can have started it since the call began."""
        return call.found_off and not power.starting and power.changed < call.position

    def _on_affinity_info(self, moment: Moment, call: GuestCall, code: int) -> None:
        if code not in tuple(Affinity):
            return
        self.reached = True
        power = self._power(call.target)
        text = f"AFFINITY_INFO said that {_who(call.target)} was {Affinity(code).name}, but it was"
        if code == Affinity.OFF:
            if not power.offs and power.changed < call.position:
                self.find(f"{text} on", call.position, moment.position)
        elif self._was_off_throughout(power, call):
            self.find(f"{text} off", call.position, moment.position)

    def _on_cpu_off(self, moment: Moment, call: GuestCall, code: int) -> None:
        power = self._power(call.target)
        if code != PsciError.SUCCESS:
            power.offs -= 1
        elif not power.starting and power.offs:
            power.off = True
            self._off[call.target] = moment.position
            self.reached = True

    def _on_run(self, moment: Moment, body: VcpuRun) -> None:
        if not self._off:
            return
        key = (domain_of(moment.node), body.vcpu)
        if key in self._off:
            position = self._off.pop(key)
            text = f"{_who(key)} was entered after its CPU_OFF, but nobody had called CPU_ON for it"
            self.find(text, position, moment.position)

    def _check_feature(self, moment: Moment, call: GuestCall, event: VpsciResult) -> None:
        said = self._said.get((event.domain, call.function))
        if said is None or call.function == SMCCC_VERSION:
            return
        self.reached = True
        promised, position = said
        if promised is not (event.code != PsciError.NOT_SUPPORTED):
            answer = "there" if promised else "not there"
            text = f"PSCI_FEATURES told domain {event.domain} that {call.function:#x} is {answer}"
            where = (position, call.position, moment.position)
            self.find(f"{text}, but it answered {error_name(event.code)}", *where)


def _who(key: Key) -> str:
    return f"domain {key[0]} vCPU {key[1]}"
