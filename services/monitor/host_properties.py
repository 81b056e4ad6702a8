"""The host's half of xen-suspend's invariants: who may sleep, and what must be the same after."""

from functools import partial

from proto.ids import GICD_NODE, cpu_of, el3_node
from proto.messages import VcpuRun
from proto.psci import Psci
from proto.scenario import domain_ids
from proto.traces import PauseCount, Phase, SystemSuspendDecision, Unpredictable
from services.monitor.attempts import Attempt
from services.monitor.evidence import Moment, Table
from services.monitor.gic_shadow import Snapshot, differences
from services.monitor.prop import Ending, Property, names
from services.monitor.shadow import Shadow, domain_of

SYSTEM_SUSPEND = (Psci.SYSTEM_SUSPEND, Psci.SYSTEM_SUSPEND_32)


class AloneAtTheEnd(Property):
    """Judged inside the EL3 turn that decides on SYSTEM_SUSPEND."""

    name = "I1"
    clause = (
        "Physical SYSTEM_SUSPEND runs on pCPU0, with IRQs masked, every other core OFF in firmware "
        "(Xen suspend, S13; DEN 0022, SYSTEM_SUSPEND)"
    )

    @property
    def traced(self) -> Table:
        """Decisions of EL3."""
        return {SystemSuspendDecision: self._on_decision}

    def _on_decision(self, moment: Moment, event: SystemSuspendDecision) -> None:
        self.reached = True
        caller = event.caller
        if caller != 0:
            self.find(f"SYSTEM_SUSPEND was called on CPU{caller}, not on CPU0", moment.position)
        position, smc = self.shadow.smc.get(caller, (0, None))
        if smc is not None and smc.function in SYSTEM_SUSPEND and not smc.irq_masked:
            text = f"SYSTEM_SUSPEND was called with IRQs unmasked on CPU{caller}"
            self.find(text, position, moment.position)
        if event.result == "SUSPEND":
            self._check_accepted(moment, caller)
        elif event.result == "DENIED":
            self._check_denied(moment, event)

    def _check_accepted(self, moment: Moment, caller: int) -> None:
        states = self.shadow.affinity
        others = [f"CPU{cpu} {states[cpu]}" for cpu in sorted(states) if cpu != caller]
        running = [text for text in others if not text.endswith(" OFF")]
        if running:
            text = f"{el3_node(caller)} accepted SYSTEM_SUSPEND with {names(running)} in firmware"
            self.find(text, moment.position)

    def _check_denied(self, moment: Moment, event: SystemSuspendDecision) -> None:
        """A refusal because of a core that was not OFF; an injected one saw no core at all."""
        for cpu, state in enumerate(event.affinity):
            if cpu == event.caller or state == "OFF":
                continue
            if cpu in self.shadow.online:
                text = f"CPU{cpu} was {state} in firmware and still online in Xen"
            else:
                text = (
                    f"dead-flag-before-cpu-off: Xen had marked CPU{cpu} offline, but firmware "
                    f"had published no OFF for it yet ({state})"
                )
            self.find(f"SYSTEM_SUSPEND was DENIED: {text}", moment.position)


class NobodyRuns(Property):
    """Judged on the turns of the domains, against the moment at which memory held the pause count.

    Xen traces a count when memory's answer has come back; another PE may see it before that.
    """

    name = "I2"
    clause = "No vCPU executes between the end of S1 (freeze_domains) and its thaw in R8"

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._suspects: dict[int, list[tuple[int, int, int]]] = {}
        """By domain: vCPU, end of S1, and entry, of entries before the thaw was traced."""

    @property
    def traced(self) -> Table:
        """The end of the freeze, and the thaw."""
        return {Phase: self._on_phase, PauseCount: self._on_pause_count}

    @property
    def received(self) -> Table:
        """Guest entries."""
        return {VcpuRun: self._on_run}

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if event.label != "S1" or event.edge != "end":
            return
        self.reached = True
        for (domain, vcpu), began in sorted(self.shadow.running.items()):
            text = f"domain {domain} vCPU {vcpu} was still executing when S1 ended"
            self.find(text, began, moment.position)

    def _on_run(self, moment: Moment, body: VcpuRun) -> None:
        domain = domain_of(moment.node)
        frozen = self.shadow.frozen.get(domain)
        if frozen is not None:
            suspect = (body.vcpu, frozen, moment.position)
            self._suspects.setdefault(domain, []).append(suspect)

    def _on_pause_count(self, moment: Moment, event: PauseCount) -> None:
        if event.domain not in self.shadow.frozen:
            thawed = moment.position if moment.sent_at is None else moment.sent_at
            self._accuse(event.domain, before=thawed)

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """No thaw will clear anybody any more."""
        for domain in sorted(self._suspects):
            self._accuse(domain, before=moment.position)

    def finish(self, ending: Ending) -> None:
        """Nor will one after the end."""
        for domain in sorted(self._suspects):
            self._accuse(domain, before=ending.position + 1)

    def _accuse(self, domain: int, before: int) -> None:
        for vcpu, frozen, entered in self._suspects.pop(domain, []):
            if entered < before:
                text = f"domain {domain} vCPU {vcpu} was entered although the domain is frozen"
                self.find(text, frozen, entered)


class GicIsTheSame(Property):
    """Compared at the GIC, once what CPU0 sent before each end of the interval has arrived."""

    name = "I4"
    clause = (
        "GIC configuration and active bits after R2 equal those before S9 "
        "(Xen gicv2_suspend, gicv2_resume; IHI 0048B)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._before: tuple[int, Snapshot] | None = None
        self._inside = False

    @property
    def traced(self) -> Table:
        """Both ends of the interval, and what is UNPREDICTABLE in it."""
        return {Phase: self._on_phase, Unpredictable: self._on_unpredictable}

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        edge = (event.label, event.edge)
        if edge == ("S9", "begin"):
            self._inside = True
            self._when_settled(moment, before=True)
        elif edge == ("R2", "end") or edge == ("S9", "fail"):
            self._inside = False
            self._when_settled(moment, before=False)

    def _when_settled(self, moment: Moment, before: bool) -> None:
        look = partial(self._look, cpu_of(moment.node), before)
        self.shadow.links.when_delivered(moment, moment.node, GICD_NODE, look)

    def _look(self, cpu: int, before: bool, moment: Moment) -> None:
        snapshot = self.shadow.gic.snapshot(cpu)
        if before:
            self._before = (moment.position, snapshot)
            return
        if self._before is None:
            return
        self.reached = True
        (position, wanted), self._before = self._before, None
        for register, changes in differences(wanted, snapshot).items():
            text = f"{register} is not as it was before S9: {names(changes[:4])}"
            if len(changes) > 4:
                text += f" and {len(changes) - 4} more"
            self.find(text, position, moment.position)

    def _on_unpredictable(self, moment: Moment, event: Unpredictable) -> None:
        where = "between S9 and R2: " if self._inside else ""
        text = f"UNPREDICTABLE {where}{event.what} ({event.clause})"
        self.find(text, moment.position)


class EverythingBalances(Property):
    """Judged when an attempt is over, and at the end of the journal."""

    name = "I6"
    clause = (
        "Pause counts, console-sync depth and system_state balance on every path; "
        "the frozen set ends empty"
    )

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """Compare with what was before S0."""
        self.reached = True
        shadow = self.shadow
        where = (attempt.position, moment.position)
        for domain in domain_ids(shadow.board.scenario):
            was = attempt.pause_counts.get(domain, 0)
            is_now = shadow.pause_counts.get(domain, 0)
            if was != is_now:
                text = f"domain {domain}: pause_count was {was} before S0 and is {is_now} after R8"
                self.find(text, *where)
        if shadow.console_depth != attempt.console_depth:
            text = f"console sync depth was {attempt.console_depth} before S0 and is "
            self.find(f"{text}{shadow.console_depth} after R8", *where)
        for domain in sorted(shadow.frozen):
            self.find(f"domain {domain} was never thawed in R8", *where)

    def finish(self, ending: Ending) -> None:
        """An attempt that is not over has not balanced."""
        attempt = self.shadow.attempt
        if attempt is None or not ending.complete:
            return
        if self.shadow.system_power in ("sleeping", "waking"):
            self.undecided.append("the system sleeps at the end of the journal")
            return
        text = f"system_state is {self.shadow.system_state} at the end: attempt {attempt.number}"
        self.find(f"{text} never came back to active", attempt.position, ending.position)


class EveryCpuIsBack(Property):
    """Judged when an attempt is over."""

    name = "I7"
    clause = (
        "The online set is restored, or each missing CPU is reported; "
        "no enabled SPI targets only offline CPUs"
    )

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """Compare with what was before S0."""
        self.reached = True
        online = self.shadow.online
        for cpu in sorted(attempt.online - online - attempt.missing.keys()):
            text = f"CPU{cpu} was online before S0, is not after R8, and Xen did not report it"
            self.find(text, attempt.position, moment.position)
        for cpu in sorted(online - attempt.online):
            text = f"CPU{cpu} was offline before S0 and is online after R8"
            self.find(text, attempt.position, moment.position)
        mask = sum(1 << cpu for cpu in online)
        for intid in self.shadow.gic.enabled_spis():
            targets = self.shadow.gic.targets(intid)
            if targets and not targets & mask:
                text = f"INTID {intid} targets {targets:#04x}, of which no CPU is online"
                self.find(text, attempt.position, moment.position)
