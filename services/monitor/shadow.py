"""The state of the board, rebuilt from journal records alone.

Properties read it and never look inside nodes, so they judge every world alike.
"""

from collections.abc import Callable
from functools import cached_property

from proto.board import Board
from proto.ids import GICD_NODE, NodeId, cpu_of
from proto.messages import (
    BankLost,
    BlockPowered,
    PointReached,
    PointRelease,
    PowerHold,
    RegWrite,
    VcpuExit,
    VcpuRun,
)
from proto.platform import GiccPower, Retention, retention
from proto.scenario import domain_ids
from proto.traces import (
    AffinityState,
    ConsoleSync,
    CpuMissing,
    DomainShutdown,
    FrozenCpus,
    IntState,
    LineEvent,
    Online,
    PauseCount,
    PePower,
    Phase,
    SmcIssued,
    SuspendPolicy,
    SystemPower,
    SystemState,
    SystemSuspendDecision,
)
from services.monitor.attempts import Attempt, Span
from services.monitor.evidence import Links, Moment, Table
from services.monitor.gic_shadow import GicShadow

AttemptListener = Callable[[Moment, Attempt], None]


class Stopwatch:
    """Board time during which something was so, from the start of the board."""

    def __init__(self) -> None:
        self._total_ns = 0
        self._since_ns: int | None = 0

    def read(self, now: int) -> int:
        """The time until now."""
        return self._total_ns + (0 if self._since_ns is None else max(0, now - self._since_ns))

    def run(self, now: int, running: bool) -> None:
        """It is so from now on, or not."""
        self._total_ns = self.read(now)
        self._since_ns = now if running else None


class Shadow:
    """What the journal says of the board so far."""

    def __init__(self, board: Board, links: Links) -> None:
        self.board = board
        self.links = links
        self.system_state = "boot"
        self.system_power = "on"
        self.console_depth = 0
        self.pause_counts: dict[int, int] = {}
        self.shutdown: dict[int, str] = {}
        """Domains that shut down or have, with the reason by name."""
        self.initiator: int | None = None
        """The domain whose SYSTEM_SUSPEND the latest attempt carries out, if the policy says so."""
        self._asked: int | None = None
        """The domain whose call the policy has taken for the host's, last."""
        self.frozen_cpus = 0
        """`frozen_cpus` as Xen stored it last."""
        self.online: set[int] = set()
        self.pe_power: dict[int, bool] = {}
        self.affinity: dict[int, str] = {cpu: "OFF" if cpu else "ON" for cpu in board.platform.cpus}
        self.smc: dict[int, tuple[int, SmcIssued]] = {}
        """The last SMC of each PE, with its position."""
        self.running: dict[tuple[int, int], int] = {}
        """Domain and vCPU of each guest that executes, with the position at which it began."""
        self.frozen: dict[int, int] = {}
        """Domains between S1 and their thaw in R8, with the position of the end of S1."""
        self.lines: dict[int, tuple[int, int]] = {}
        """Device lines that are high, with position and time of the assertion."""
        self.gic = GicShadow(board.platform)
        self._gicc_power = board.platform.gicc_power
        self.spans: list[Span] = []
        self.attempts: list[Attempt] = []
        self.attempt_listeners: list[AttemptListener] = []
        """Called when an attempt is over."""
        self._open_spans: dict[NodeId, list[Span]] = {}
        self._counts_at_freeze: dict[int, int] = {}
        domains = domain_ids(board.scenario)
        self._unpaused: dict[int, Stopwatch] = {domain: Stopwatch() for domain in domains}
        self._runnable: dict[int, Stopwatch] = {domain: Stopwatch() for domain in domains}
        self._held: set[str] = set()
        """What the bench holds up: nodes at armed points, PEs without a latch to power them up."""
        self._unheld = Stopwatch()
        self._last_held_ns = -1
        self._gic_lost = retention(board.scenario.power_model, GICD_NODE) is Retention.LOST

    @cached_property
    def traced(self) -> Table:
        """Handlers by class of trace."""
        return {
            Phase: self._on_phase,
            SystemState: self._on_system_state,
            SystemPower: self._on_system_power,
            PePower: self._on_pe_power,
            SmcIssued: self._on_smc,
            AffinityState: self._on_affinity,
            SystemSuspendDecision: self._on_decision,
            Online: self._on_online,
            CpuMissing: self._on_cpu_missing,
            FrozenCpus: self._on_frozen_cpus,
            PauseCount: self._on_pause_count,
            DomainShutdown: self._on_domain_shutdown,
            SuspendPolicy: self._on_policy,
            ConsoleSync: self._on_console_sync,
            IntState: self._on_int_state,
            LineEvent: self._on_line,
        }

    @cached_property
    def received(self) -> Table:
        """Handlers by class of body, on arrival."""
        return {
            VcpuRun: self._on_vcpu_run,
            BankLost: self._on_bank_lost,
            RegWrite: self._on_reg_write,
            PointRelease: lambda moment, body: self._hold(moment, moment.node, False),
        }

    @cached_property
    def sent(self) -> Table:
        """Handlers by class of body, on sending."""
        return {
            VcpuExit: self._on_vcpu_exit,
            BlockPowered: self._on_block_powered,
            PointReached: lambda moment, body: self._hold(moment, moment.node, True),
            PowerHold: lambda moment, body: self._hold(moment, f"rail {body.cpu}", body.on),
        }

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that is under way."""
        if self.attempts and not self.attempts[-1].over:
            return self.attempts[-1]
        return None

    def unpaused_ns(self, domain: int, now: int) -> int:
        """Board time so far during which nobody had paused a domain."""
        return self._unpaused[domain].read(now)

    def runnable_ns(self, domain: int, now: int) -> int:
        """Board time so far during which a domain was neither paused nor shut down."""
        return self._runnable[domain].read(now)

    def unheld_ns(self, now: int) -> int:
        """Board time so far during which the bench held nobody up: what is owed counts in it."""
        return self._unheld.read(now)

    def held_since(self, then: int) -> bool:
        """Whether the bench has held somebody up since some board time."""
        return bool(self._held) or self._last_held_ns >= then

    def _hold(self, moment: Moment, what: str, held: bool) -> None:
        self._last_held_ns = moment.now
        change = self._held.add if held else self._held.discard
        change(what)
        self._unheld.run(moment.now, not self._held)

    # -- the host's suspend

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if event.edge == "begin":
            self._begin_phase(moment, event)
        else:
            self._end_phase(moment, event)

    def _begin_phase(self, moment: Moment, event: Phase) -> None:
        if event.label == "S0":
            # Another control domain may ask while this attempt is being taken back.
            self.initiator = self._asked
        span = Span(event.label, event.name, moment.node, moment.now, moment.position)
        self.spans.append(span)
        self._open_spans.setdefault(moment.node, []).append(span)
        if event.label == "S0":
            self._begin_attempt(moment)
        if self.attempt is not None:
            self.attempt.begun.add(event.label)

    def _end_phase(self, moment: Moment, event: Phase) -> None:
        open_spans = self._open_spans.get(moment.node, [])
        span = next((span for span in reversed(open_spans) if span.label == event.label), None)
        if span is not None:
            open_spans.remove(span)
            span.end_ns, span.error = moment.now, event.error
        if self.attempt is None:
            return
        self.attempt.ended.add(event.label)
        if (event.label, event.edge) == ("S1", "end"):
            self._counts_at_freeze = dict(self.pause_counts)
            self.frozen = dict.fromkeys(domain_ids(self.board.scenario), moment.position)
        if event.label == "R8":
            self._close_attempt_if_over(moment)

    def _begin_attempt(self, moment: Moment) -> None:
        if self.attempt is not None:
            return
        self.attempts.append(
            Attempt(
                number=len(self.attempts) + 1,
                node=moment.node,
                position=moment.position,
                start_ns=moment.now,
                online=frozenset(self.online),
                pause_counts=dict(self.pause_counts),
                console_depth=self.console_depth,
            )
        )

    def _on_system_state(self, moment: Moment, event: SystemState) -> None:
        self.system_state = event.state
        if event.state == "suspend":
            self._begin_attempt(moment)
        self._close_attempt_if_over(moment)

    def _close_attempt_if_over(self, moment: Moment) -> None:
        """Over once Xen is `active` again and has finished the thaw, if it has begun one."""
        attempt = self.attempt
        if attempt is None or self.system_state != "active":
            return
        if "R8" in attempt.begun and "R8" not in attempt.ended:
            return
        attempt.end_ns = moment.now
        for listener in self.attempt_listeners:
            listener(moment, attempt)
        self.frozen = {}

    def _on_decision(self, moment: Moment, event: SystemSuspendDecision) -> None:
        if self.attempt is not None:
            self.attempt.decision = event.result

    def _on_system_power(self, moment: Moment, event: SystemPower) -> None:
        self.system_power = event.state

    # -- PEs

    def _on_pe_power(self, moment: Moment, event: PePower) -> None:
        self.pe_power[cpu_of(moment.node)] = event.on
        if not event.on:
            if self._gicc_power is GiccPower.PE:
                self.gic.interface_lost(cpu_of(moment.node))
            for span in self._open_spans.pop(moment.node, []):
                span.end_ns = moment.now

    def _on_smc(self, moment: Moment, event: SmcIssued) -> None:
        self.smc[cpu_of(moment.node)] = (moment.position, event)

    def _on_affinity(self, moment: Moment, event: AffinityState) -> None:
        self.affinity[event.cpu] = event.state

    def _on_online(self, moment: Moment, event: Online) -> None:
        if event.online:
            self.online.add(event.cpu)
        else:
            self.online.discard(event.cpu)

    def _on_cpu_missing(self, moment: Moment, event: CpuMissing) -> None:
        if self.attempt is not None:
            self.attempt.missing[event.cpu] = event.error

    def _on_frozen_cpus(self, moment: Moment, event: FrozenCpus) -> None:
        self.frozen_cpus = event.mask

    # -- domains

    def _on_pause_count(self, moment: Moment, event: PauseCount) -> None:
        self.pause_counts[event.domain] = event.count
        self._unpaused[event.domain].run(moment.now, not event.count)
        self._runnable[event.domain].run(moment.now, self.can_run(event.domain))
        thawing = self.attempt is not None and "R8" in self.attempt.begun
        if thawing and event.count < self._counts_at_freeze.get(event.domain, 0):
            self.frozen.pop(event.domain, None)

    def _on_domain_shutdown(self, moment: Moment, event: DomainShutdown) -> None:
        if event.state == "none":
            self.shutdown.pop(event.domain, None)
        else:
            self.shutdown[event.domain] = event.code
        self._runnable[event.domain].run(moment.now, self.can_run(event.domain))

    def _on_policy(self, moment: Moment, event: SuspendPolicy) -> None:
        if event.decision == "host":
            self._asked = event.domain

    def can_run(self, domain: int) -> bool:
        """Whether a domain is neither paused nor shut down."""
        return not self.pause_counts.get(domain) and domain not in self.shutdown

    def _on_vcpu_run(self, moment: Moment, body: VcpuRun) -> None:
        self.running[domain_of(moment.node), body.vcpu] = moment.position

    def _on_vcpu_exit(self, moment: Moment, body: VcpuExit) -> None:
        self.running.pop((domain_of(moment.node), body.vcpu), None)

    def _on_bank_lost(self, moment: Moment, body: BankLost) -> None:
        self.running.pop((domain_of(moment.node), body.vcpu), None)

    # -- devices

    def _on_console_sync(self, moment: Moment, event: ConsoleSync) -> None:
        self.console_depth = event.depth

    def _on_int_state(self, moment: Moment, event: IntState) -> None:
        self.gic.interrupt(event)

    def _on_line(self, moment: Moment, event: LineEvent) -> None:
        if event.level:
            self.lines[event.intid] = (moment.position, moment.now)
        else:
            self.lines.pop(event.intid, None)

    def _on_reg_write(self, moment: Moment, body: RegWrite) -> None:
        src = moment.src
        if moment.node == GICD_NODE and src is not None and "pe" in src:
            self.gic.write(cpu_of(src), body)

    def _on_block_powered(self, moment: Moment, body: BlockPowered) -> None:
        if moment.node == GICD_NODE:
            self.gic.power(body.on, self._gic_lost)


def domain_of(node: str) -> int:
    """Domain id of a node named `dom<N>`."""
    return int(node.removeprefix("dom"))
