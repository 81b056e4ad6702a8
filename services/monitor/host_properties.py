"""The host's half of xen-suspend's invariants: who may sleep, and what must be the same after."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from proto.ids import GICD_NODE, CpuIndex, NodeId, cpu_of, el3_node, pe_node
from proto.messages import VcpuLoad, VcpuRun
from proto.psci import Psci
from proto.scenario import domain_ids
from proto.traces import (
    IntState,
    Online,
    PauseCount,
    PePower,
    Phase,
    SystemSuspendDecision,
    Unpredictable,
    VcpuPlaced,
)
from proto.units import S
from services.monitor.attempts import Attempt
from services.monitor.evidence import Moment, Table
from services.monitor.gic_shadow import Snapshot, differences
from services.monitor.prop import PATIENCE_NS, Ending, Property, names
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
    S1 pauses one domain after the other, and turns to the next when no vCPU of it runs.
    """

    name = "I2"
    clause = (
        "No vCPU of a domain executes from the end of its pause in S1 (freeze_domains) to its thaw "
        "in R8"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._suspects: dict[int, list[tuple[int, int, int]]] = {}
        """By domain: vCPU, end of its pause, and entry, of entries before the thaw was traced."""
        self._freezer: NodeId | None = None
        """The PE that is inside S1."""
        self._pausing: int | None = None
        """The domain that it waits for."""
        self._paused: dict[int, int] = {}
        """Domains whose pause in S1 is complete, with the position."""

    @property
    def traced(self) -> Table:
        """The freeze, and the thaw."""
        return {Phase: self._on_phase, PauseCount: self._on_pause_count}

    @property
    def received(self) -> Table:
        """Guest entries."""
        return {VcpuRun: self._on_run}

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if event.label != "S1":
            return
        if event.edge == "end":
            self.reached = True
            for domain in domain_ids(self.shadow.board.scenario):
                self._complete(moment, domain, "S1 ended")
        self._freezer = moment.node if event.edge == "begin" else None
        self._pausing = None
        self._paused.clear()

    def _complete(self, moment: Moment, domain: int, when: str) -> None:
        """A domain's pause is complete: none of its vCPUs may be executing."""
        if domain in self._paused:
            return
        self._paused[domain] = moment.position
        for (owner, vcpu), began in sorted(self.shadow.running.items()):
            if owner == domain:
                text = f"domain {domain} vCPU {vcpu} was still executing when {when}"
                self.find(text, began, moment.position)

    def _on_run(self, moment: Moment, body: VcpuRun) -> None:
        domain = domain_of(moment.node)
        frozen = self.shadow.frozen.get(domain, self._paused.get(domain))
        if frozen is not None:
            suspect = (body.vcpu, frozen, moment.position)
            self._suspects.setdefault(domain, []).append(suspect)

    def _on_pause_count(self, moment: Moment, event: PauseCount) -> None:
        if moment.node == self._freezer:
            if self._pausing is not None:
                self._complete(moment, self._pausing, f"S1 turned to domain {event.domain}")
            self._pausing = event.domain
        elif event.domain not in self.shadow.frozen:
            thawed = moment.position if moment.sent_at is None else moment.sent_at
            self._paused.pop(event.domain, None)
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
    """Compared at the GIC, once what a CPU sent before each end of the interval has arrived.

    CPU0's view is compared from S9 to R2. What a secondary set up for itself goes with its power,
    or while it is taken down; it is compared from S3 to R7, if the CPU is back. A CPU that is
    online sets up its timers only then, so it has `PATIENCE_NS` for it.
    """

    name = "I4"
    clause = (
        "GIC configuration and active bits after R2 equal those before S9, and each CPU's own "
        "enables, priorities and interface after R7 those before S3 "
        "(Xen gicv2_suspend, gicv2_resume, gicv2_cpu_init; IHI 0048B)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._before: tuple[int, Snapshot] | None = None
        self._own_before: dict[int, tuple[int, Snapshot]] = {}
        """What each secondary had set up when S3 began, with the position."""
        self._own_due_ns: dict[int, int] = {}
        """Secondaries that came back in R7 and are not as they were, with their time for it."""
        self._inside = False

    @property
    def traced(self) -> Table:
        """Both ends of the interval, and what is UNPREDICTABLE in it; interrupts, as a clock."""
        return {
            Phase: self._on_phase,
            Unpredictable: self._on_unpredictable,
            IntState: lambda moment, event: self._look_again(moment.position, moment.now),
        }

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        edge = (event.label, event.edge)
        if edge == ("S9", "begin"):
            self._inside = True
            self._when_settled(moment, before=True)
        elif edge == ("R2", "end") or edge == ("S9", "fail"):
            self._inside = False
            self._when_settled(moment, before=False)
        elif edge == ("S3", "begin"):
            self._look_again(moment.position, moment.now, last=True)
            self._own_before.clear()
            for cpu in sorted(self.shadow.online - {cpu_of(moment.node)}):
                self._when_own_settled(moment, cpu, before=True)
        elif edge == ("R7", "end"):
            for cpu in sorted(self._own_before.keys() & self.shadow.online):
                self._when_own_settled(moment, cpu, before=False)

    def _when_own_settled(self, moment: Moment, cpu: int, before: bool) -> None:
        look = partial(self._look_at_own, cpu, before)
        self.shadow.links.when_delivered(moment, pe_node(CpuIndex(cpu)), GICD_NODE, look)

    def _look_at_own(self, cpu: int, before: bool, moment: Moment) -> None:
        if before:
            snapshot = self.shadow.gic.private_snapshot(cpu)
            self._own_before[cpu] = (moment.position, snapshot)
        elif cpu in self._own_before:
            self._own_due_ns[cpu] = moment.now + PATIENCE_NS
            self._look_again(moment.position, moment.now)

    def _look_again(self, position: int, now: int, last: bool = False) -> None:
        """Compare the secondaries that are back with what they were, until they are the same."""
        for cpu, due_ns in sorted(self._own_due_ns.items()):
            since, wanted = self._own_before[cpu]
            found = self.shadow.gic.private_snapshot(cpu)
            if found == wanted or last or now > due_ns:
                del self._own_before[cpu], self._own_due_ns[cpu]
                self._compare(wanted, found, f"CPU{cpu}: ", "S3", since, position)

    def finish(self, ending: Ending) -> None:
        """Whoever has not had its time is undecided."""
        self._look_again(ending.position, ending.now)
        for cpu in sorted(self._own_due_ns):
            self.undecided.append(f"CPU{cpu} was not as it was before S3, just before the end")

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
        self._compare(wanted, snapshot, "", "S9", position, moment.position)

    def _compare(
        self, wanted: Snapshot, found: Snapshot, whose: str, step: str, *where: int
    ) -> None:
        for register, changes in differences(wanted, found).items():
            text = f"{whose}{register} is not as it was before {step}: {names(changes[:4])}"
            if len(changes) > 4:
                text += f" and {len(changes) - 4} more"
            self.find(text, *where)

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
        if shadow.frozen_cpus:
            text = f"frozen_cpus is {shadow.frozen_cpus:#x} after R7"
            self.find(f"{text}: the frozen set did not end empty", *where)

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


@dataclass(slots=True)
class Unplug:
    """A CPU that went offline outside of a suspend attempt, and when its power was cut."""

    position: int
    off_ns: int | None = None


class EveryCpuIsBack(Property):
    """Judged when an attempt is over, and a while after a CPU was unplugged."""

    name = "I7"
    clause = (
        "The online set is restored, or each missing CPU is reported; "
        "no enabled SPI targets only offline CPUs, no vCPU is placed on one, be it after a suspend "
        "or an unplug, and each vCPU runs where it is placed"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._unplugs: dict[int, Unplug] = {}
        """CPUs that were unplugged, until that has been judged."""
        self._placed: dict[tuple[int, int], int] = {}
        """Domain and vCPU to the CPU it was placed on last."""

    @property
    def traced(self) -> Table:
        """CPUs that go; and interrupts, which let the time be seen that has passed since."""
        return {
            Online: self._on_online,
            PePower: self._on_pe_power,
            VcpuPlaced: self._on_placed,
            IntState: lambda moment, event: self._judge_unplugs(moment.position, moment.now),
        }

    def _on_online(self, moment: Moment, event: Online) -> None:
        if event.online and cpu_of(moment.node) != event.cpu:
            self.find(f"CPU{event.cpu} was put online by {moment.node}", moment.position)
        self._unplugs.pop(event.cpu, None)
        if not event.online and self.shadow.attempt is None:
            self._unplugs[event.cpu] = Unplug(moment.position)

    def _on_pe_power(self, moment: Moment, event: PePower) -> None:
        unplug = self._unplugs.get(cpu_of(moment.node))
        if unplug is not None and not event.on:
            unplug.off_ns = moment.now

    @property
    def received(self) -> Table:
        """Which CPU loads a vCPU: it stays there until it is placed elsewhere."""
        return {VcpuLoad: self._on_load}

    def _on_load(self, moment: Moment, body: VcpuLoad) -> None:
        if moment.src is None:
            return
        domain, cpu = domain_of(moment.node), cpu_of(moment.src)
        was = self._placed.get((domain, body.vcpu), cpu)
        if was != cpu:
            who = f"domain {domain} vCPU {body.vcpu}"
            text = f"{who} was loaded on CPU{cpu}, but placed on CPU{was}"
            self.find(text, moment.position)
        self._placed[domain, body.vcpu] = cpu

    def _on_placed(self, moment: Moment, event: VcpuPlaced) -> None:
        """Targets of interrupts are seen at the GIC itself."""
        if event.intid < 0:
            self._placed[event.domain, event.vcpu] = event.cpu

    def _judge_unplugs(self, position: int, now: int) -> None:
        """Judge each unplug that is old enough; one inside an attempt waits for its end."""
        if self.shadow.attempt is not None:
            return
        for cpu, unplug in sorted(self._unplugs.items()):
            if unplug.off_ns is None or now <= unplug.off_ns + PATIENCE_NS:
                continue
            del self._unplugs[cpu]
            self.reached = True
            for text in self._stranded(among=1 << cpu):
                late = f"{text}, {PATIENCE_NS // S} s after CPU{cpu} was unplugged"
                self.miss(late, unplug.position, position)

    def _stranded(self, among: int = -1) -> Iterator[str]:
        """What looks at any of these CPUs, a mask, and at none that is online: SPIs and vCPUs."""
        mask = sum(1 << cpu for cpu in self.shadow.online)
        for intid in self.shadow.gic.enabled_spis():
            targets = self.shadow.gic.targets(intid)
            if targets & among and not targets & mask:
                yield f"INTID {intid} targets {targets:#04x}, of which no CPU is online"
        for (domain, vcpu), cpu in sorted(self._placed.items()):
            if among >> cpu & 1 and cpu not in self.shadow.online:
                yield f"domain {domain} vCPU {vcpu} is placed on CPU{cpu}, which is offline"

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """Compare with what was before S0."""
        self.reached = True
        self._unplugs.clear()
        online = self.shadow.online
        for cpu in sorted(attempt.online - online - attempt.missing.keys()):
            text = f"CPU{cpu} was online before S0, is not after R8, and Xen did not report it"
            self.find(text, attempt.position, moment.position)
        for cpu in sorted(online - attempt.online):
            text = f"CPU{cpu} was offline before S0 and is online after R8"
            self.find(text, attempt.position, moment.position)
        for text in self._stranded():
            self.find(text, attempt.position, moment.position)

    def finish(self, ending: Ending) -> None:
        """An unplug that is young is undecided only if something is not as it has to become."""
        if ending.complete:
            self._judge_unplugs(ending.position, ending.now)
        if self.shadow.attempt is not None:
            return
        for cpu, unplug in sorted(self._unplugs.items()):
            if unplug.off_ns is not None:
                since = f"CPU{cpu} was unplugged just before the end"
                stranded = self._stranded(among=1 << cpu)
                self.undecided += [f"{text}; {since}" for text in stranded]
