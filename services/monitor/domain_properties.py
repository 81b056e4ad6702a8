"""What sleep must not do to domains: kill them, or end the sleep that they asked for themselves."""

from dataclasses import dataclass, field

from proto.gic import LR
from proto.hypercall import XEN_HYPERCALL, Hypercall
from proto.messages import ExitReason, VcpuExit, VcpuPut, VcpuRun, VcpuState
from proto.psci import PsciError
from proto.scenario import Parking, Trigger, domain_ids
from proto.timer import ENABLE, IMASK
from proto.traces import (
    DomainShutdown,
    EventRaised,
    GuestIrq,
    GuestReturned,
    GuestStarted,
    LineEvent,
    PauseCount,
    Phase,
    VpsciResult,
    Watchdog,
)
from proto.units import MS
from services.monitor.attempts import Attempt
from services.monitor.evidence import Moment, Table
from services.monitor.guest_calls import SYSTEM_SUSPEND, device_owners
from services.monitor.prop import Property
from services.monitor.shadow import Shadow, domain_of

SETTLED_NS = 10 * MS
"""Board time after which a vCPU that was told to stop must have left its CPU."""


@dataclass(slots=True)
class Nap:
    """How long a domain has been kept from running by sleep, its own or the host's, so far."""

    reasons: dict[str, int] = field(default_factory=dict)
    """Why it sleeps now, with the position at which that began."""
    since_ns: int = 0
    total_ns: int = 0

    def until(self, now: int) -> int:
        """Board time that it has slept until now."""
        return self.total_ns + (now - self.since_ns if self.reasons else 0)


@dataclass(frozen=True, slots=True)
class Countdown:
    """A watchdog that runs: its period, and how long its domain had slept when it was set."""

    position: int
    now: int
    period_ns: int
    slept_ns: int


class WatchdogsSpareSleepers(Property):
    """Counts the time that each domain was awake since its watchdog was set last.

    A domain sleeps from the end of S1 to its thaw, and from the acceptance of its SYSTEM_SUSPEND,
    or its shutdown with reason suspend, to its start.
    """

    name = "I9"
    clause = (
        "Sleeping never kills a domain through its watchdog: one fires only after its period of "
        "time awake (Xen, xen/common/sched/core.c, domain_watchdog_timeout)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._naps = {int(domain): Nap() for domain in domain_ids(shadow.board.scenario)}
        self._countdowns: dict[tuple[int, int], Countdown] = {}

    @property
    def traced(self) -> Table:
        """Watchdogs; both ends of each kind of sleep."""
        return {
            Watchdog: self._on_watchdog,
            Phase: self._on_phase,
            PauseCount: self._on_pause_count,
            VpsciResult: self._on_result,
            DomainShutdown: self._on_shutdown,
            GuestStarted: self._on_awake,
            GuestReturned: self._on_awake,
        }

    # -- sleep

    def _asleep(self, moment: Moment, domain: int, why: str) -> None:
        nap = self._naps[domain]
        if not nap.reasons:
            nap.since_ns = moment.now
        nap.reasons.setdefault(why, moment.position)
        if any(owner == domain for owner, _ in self._countdowns):
            self.reached = True

    def _awake(self, moment: Moment, domain: int, why: str) -> None:
        nap = self._naps[domain]
        if nap.reasons.pop(why, None) is not None and not nap.reasons:
            nap.total_ns += moment.now - nap.since_ns

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if (event.label, event.edge) == ("S1", "end"):
            for domain in sorted(self._naps):
                self._asleep(moment, domain, "frozen")

    def _on_pause_count(self, moment: Moment, event: PauseCount) -> None:
        if event.domain not in self.shadow.frozen:
            self._awake(moment, event.domain, "frozen")

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """Whoever was never thawed is somebody else's finding."""
        for domain in sorted(self._naps):
            self._awake(moment, domain, "frozen")

    def _on_result(self, moment: Moment, event: VpsciResult) -> None:
        if event.function in SYSTEM_SUSPEND and event.code == PsciError.SUCCESS:
            self._asleep(moment, event.domain, "suspended")

    def _on_shutdown(self, moment: Moment, event: DomainShutdown) -> None:
        if event.state == "none":
            self._awake(moment, event.domain, "suspended")
        elif event.code == "suspend":
            self._asleep(moment, event.domain, "suspended")

    def _on_awake(self, moment: Moment, event: GuestStarted | GuestReturned) -> None:
        if event.domain not in self.shadow.shutdown:
            self._awake(moment, event.domain, "suspended")

    # -- watchdogs

    def _on_watchdog(self, moment: Moment, event: Watchdog) -> None:
        key = (event.domain, event.timer)
        if event.event == "set":
            slept_ns = self._naps[event.domain].until(moment.now)
            period_ns = event.deadline_ns - moment.now
            self._countdowns[key] = Countdown(moment.position, moment.now, period_ns, slept_ns)
            return
        countdown = self._countdowns.pop(key, None)
        if event.event == "fired" and countdown is not None:
            self._judge(moment, event, countdown)

    def _judge(self, moment: Moment, event: Watchdog, countdown: Countdown) -> None:
        nap = self._naps[event.domain]
        slept_ns = nap.until(moment.now) - countdown.slept_ns
        awake_ns = moment.now - countdown.now - slept_ns
        if not slept_ns or awake_ns >= countdown.period_ns:
            return
        text = (
            f"domain {event.domain}: watchdog {event.timer} of {countdown.period_ns // MS} ms "
            f"fired after {awake_ns // MS} ms awake and {slept_ns // MS} ms asleep"
        )
        if nap.reasons:
            text += f"; the domain was {' and '.join(sorted(nap.reasons))}"
        self.find(text, countdown.position, *nap.reasons.values(), moment.position)


@dataclass(slots=True)
class Sleeper:
    """A domain that sleeps by its own wish, and what has come that may wake it."""

    position: int
    since_ns: int
    vcpu: int = -1
    """The one that called, where parking blocks it."""
    causes: list[str] = field(default_factory=list)


class SleepersSleep(Property):
    """Judged when a suspended domain starts, returns, or is resumed.

    Where parking blocks the vCPU, an interrupt for the domain is its rule: a device's, an event's,
    or its virtual timer's if it left that running. Where it shuts the domain down, only a
    toolstack's hypercall may resume it, and R9 the initiator; nothing of it runs before that.
    """

    name = "I10"
    clause = (
        "Suspended domUs stay suspended unless woken by their own rule: an interrupt of their own "
        "(2025-03), XEN_DOMCTL_resumedomain or R9 of the initiator (2025-09 and later)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        board = shadow.board
        self._shutting = board.profile.parking is Parking.SHUTDOWN
        self._sleepers: dict[int, Sleeper] = {}
        self._waiting: dict[int, dict[str, int]] = {}
        """By domain: interrupts that it has not taken yet, with their positions."""
        self._owner = device_owners(shadow)
        by_hardware = board.profile.trigger is Trigger.HARDWARE
        self._host_triggers = {
            int(spec.id)
            for spec in board.scenario.domains
            if (spec.id == 0 if by_hardware else spec.is_control)
        }
        self._control = {spec.id for spec in board.scenario.domains if spec.is_control}
        self._putting: dict[int, int] = {}
        """By domain: the vCPU whose bank is being put away."""
        self._held: set[int] = set()
        """Domains that left their CPU last with an interrupt waiting in a list register."""
        self._inside: dict[str, tuple[int, bool]] = {}
        """By PE: the domain that left for it last, and whether by DOMCTL."""
        self._in_r9: set[str] = set()

    @property
    def traced(self) -> Table:
        """Both ends of each sleep, and what may end one."""
        return {
            VpsciResult: self._on_result,
            DomainShutdown: self._on_shutdown,
            GuestStarted: self._on_woken,
            GuestReturned: self._on_woken,
            LineEvent: self._on_line,
            EventRaised: self._on_event,
            GuestIrq: self._on_guest_irq,
            Phase: self._on_phase,
        }

    @property
    def received(self) -> Table:
        """Entries of guests, their exits, and who is put away."""
        return {VcpuRun: self._on_run, VcpuExit: self._on_exit, VcpuPut: self._on_put}

    @property
    def sent(self) -> Table:
        """A guest's bank as it is put away: with its timer."""
        return {VcpuState: self._on_state}

    # -- what wakes

    def _cause(self, moment: Moment, domain: int, what: str) -> None:
        self._waiting.setdefault(domain, {})[what] = moment.position
        sleeper = self._sleepers.get(domain)
        if sleeper is not None:
            sleeper.causes.append(what)

    def _on_line(self, moment: Moment, event: LineEvent) -> None:
        domain = self._owner.get(event.intid)
        if domain is not None and event.level:
            self._cause(moment, domain, f"INTID {event.intid}")

    def _on_event(self, moment: Moment, event: EventRaised) -> None:
        self._cause(moment, event.domain, "event")

    def _on_guest_irq(self, moment: Moment, event: GuestIrq) -> None:
        waiting = self._waiting.get(event.domain, {})
        waiting.pop(f"INTID {event.intid}", None)
        if event.intid not in self._owner:
            waiting.pop("event", None)

    def _on_put(self, moment: Moment, body: VcpuPut) -> None:
        self._putting[domain_of(moment.node)] = body.vcpu

    def _on_state(self, moment: Moment, body: VcpuState) -> None:
        """A timer that the caller left running, or an interrupt in its list registers."""
        domain = domain_of(moment.node)
        sleeper = self._sleepers.get(domain)
        if sleeper is None or self._putting.get(domain) != sleeper.vcpu:
            return
        state = body.state
        if (state.cntv_ctl & ENABLE and not state.cntv_ctl & IMASK) or _holds(state.lrs):
            sleeper.causes.append("timer")

    # -- sleep and its end, by blocking

    def _on_result(self, moment: Moment, event: VpsciResult) -> None:
        if self._shutting or event.domain in self._host_triggers:
            return
        if event.function in SYSTEM_SUSPEND and event.code == PsciError.SUCCESS:
            causes = list(self._waiting.get(event.domain, {}))
            if event.domain in self._held:
                causes.append("list register")
            sleeper = Sleeper(moment.position, moment.now, event.vcpu, causes)
            self._sleepers[event.domain] = sleeper

    def _on_woken(self, moment: Moment, event: GuestStarted | GuestReturned) -> None:
        if self._shutting:
            return
        sleeper = self._sleepers.pop(event.domain, None)
        if sleeper is None:
            return
        self.reached = True
        if not sleeper.causes:
            text = f"domain {event.domain} woke, but no interrupt had come for it"
            self.find(text, sleeper.position, moment.position)

    # -- sleep and its end, by shutdown

    def _on_shutdown(self, moment: Moment, event: DomainShutdown) -> None:
        if event.state == "complete" and event.code == "suspend":
            self._sleepers[event.domain] = Sleeper(moment.position, moment.now)
        elif event.state == "none":
            sleeper = self._sleepers.pop(event.domain, None)
            if sleeper is not None:
                self._judge_resume(moment, event.domain, sleeper)

    def _judge_resume(self, moment: Moment, domain: int, sleeper: Sleeper) -> None:
        self.reached = True
        where = (sleeper.position, moment.position)
        if moment.node in self._in_r9:
            if domain != self.shadow.initiator:
                text = f"domain {domain} was resumed in R9, but"
                self.find(f"{text} domain {self.shadow.initiator} is the initiator", *where)
            return
        caller, by_domctl = self._inside.get(moment.node, (-1, False))
        if not by_domctl or caller not in self._control:
            text = f"domain {domain} was resumed on {moment.node}, but no toolstack asked for it"
            self.find(text, *where)

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if event.label == "R9":
            change = self._in_r9.add if event.edge == "begin" else self._in_r9.discard
            change(moment.node)

    def _on_exit(self, moment: Moment, body: VcpuExit) -> None:
        if moment.src is not None:
            change = self._held.add if _holds(body.lrs) else self._held.discard
            change(domain_of(moment.src))
            hypercall = body.reason == ExitReason.HVC and body.immediate == XEN_HYPERCALL
            by_domctl = hypercall and body.number == Hypercall.DOMCTL
            self._inside[moment.node] = (domain_of(moment.src), by_domctl)

    def _on_run(self, moment: Moment, body: VcpuRun) -> None:
        if not self._shutting:
            return
        domain = domain_of(moment.node)
        sleeper = self._sleepers.get(domain)
        if sleeper is not None and moment.now > sleeper.since_ns + SETTLED_NS:
            text = f"domain {domain} vCPU {body.vcpu} was entered, but the domain is suspended"
            self.miss(text, sleeper.position, moment.position)

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """Whoever still sleeps has outlasted the host's sleep."""
        if self._sleepers:
            self.reached = True


def _holds(lrs: tuple[int, ...]) -> bool:
    """Whether an interrupt waits in these list registers."""
    return any(LR.STATE.get(lr) for lr in lrs)
