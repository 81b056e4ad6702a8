"""Interleavings that a set of runs should reach: a campaign that never does proves little."""

from proto.ids import BOOT_CPU, cpu_of
from proto.psci import Psci
from proto.traces import (
    AffinityState,
    IntState,
    LineEvent,
    PauseCount,
    PePower,
    Phase,
    SmcIssued,
    SystemSuspendDecision,
    VpsciCall,
    VpsciResult,
    Watchdog,
)
from services.monitor.attempts import Attempt
from services.monitor.evidence import Moment, Table
from services.monitor.guest_calls import SYSTEM_SUSPEND
from services.monitor.shadow import Shadow


class Sometimes:
    """Observes which of the named interleavings this journal contains."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._unmasked_and_frozen = False
        self._going_off: dict[int, Attempt] = {}
        """CPUs inside CPU_OFF, with the attempt that took them down."""
        self._gic_closed = False
        self._asking: set[int] = set()
        """Domains inside SYSTEM_SUSPEND, before its result."""
        self._accepted = False
        """Firmware has accepted SYSTEM_SUSPEND, and the boot CPU has power yet."""
        self._control = {spec.id for spec in shadow.board.scenario.domains if spec.is_control}
        self.reached = {
            "cpu_off_completes_after_later_step": False,
            "cpu_off_completes_before_later_step": False,
            "interrupt_between_freeze_and_mask": False,
            "interrupt_between_gic_suspend_and_power_down": False,
            "late_abandon": False,
            "resume_before_result": False,
            "two_control_domains_at_once": False,
            "wake_targets_offline_cpu": False,
            "watchdog_expires_while_frozen": False,
        }

    @property
    def traced(self) -> Table:
        """Calls of firmware and of vPSCI, power, interrupts, phases, pauses, watchdogs."""
        return {
            SmcIssued: self._on_smc,
            AffinityState: self._on_affinity,
            IntState: self._on_int_state,
            LineEvent: self._on_line,
            Phase: self._on_phase,
            SystemSuspendDecision: self._on_decision,
            PePower: self._on_pe_power,
            VpsciCall: self._on_call,
            VpsciResult: self._on_result,
            PauseCount: self._on_pause_count,
            Watchdog: self._on_watchdog,
        }

    @property
    def received(self) -> Table:
        """Nothing."""
        return {}

    @property
    def sent(self) -> Table:
        """Nothing."""
        return {}

    def _on_smc(self, moment: Moment, event: SmcIssued) -> None:
        attempt = self._shadow.attempt
        if event.function == Psci.CPU_OFF and attempt is not None:
            self._going_off[cpu_of(moment.node)] = attempt

    def _on_affinity(self, moment: Moment, event: AffinityState) -> None:
        """OFF may be published after the attempt, or for another reason than CPU_OFF."""
        attempt = self._going_off.pop(event.cpu, None)
        if attempt is None or event.state != "OFF":
            return
        when = "after" if attempt.past_cpu_off else "before"
        self.reached[f"cpu_off_completes_{when}_later_step"] = True

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if (event.label, event.edge) == ("S1", "end"):
            self._unmasked_and_frozen = True
        elif event.label in ("S7", "R7", "R8") and event.edge != "begin":
            self._unmasked_and_frozen = False
        if event.label == "S9":
            self._gic_closed = event.edge == "end"
        elif event.label.startswith("R"):
            # Also without a sleep in between: firmware took its acceptance back.
            self.reached["late_abandon"] |= self._accepted
            self._gic_closed = self._accepted = False

    def _on_int_state(self, moment: Moment, event: IntState) -> None:
        if event.pending and self._unmasked_and_frozen:
            self.reached["interrupt_between_freeze_and_mask"] = True

    def _on_line(self, moment: Moment, event: LineEvent) -> None:
        shadow = self._shadow
        if not event.level or shadow.attempt is None:
            return
        if self._gic_closed:
            self.reached["interrupt_between_gic_suspend_and_power_down"] = True
        targets = shadow.gic.targets(event.intid)
        if targets and not any(targets >> cpu & 1 for cpu in shadow.online):
            self.reached["wake_targets_offline_cpu"] = True

    def _on_decision(self, moment: Moment, event: SystemSuspendDecision) -> None:
        self._accepted = event.result == "SUSPEND"

    def _on_pe_power(self, moment: Moment, event: PePower) -> None:
        if cpu_of(moment.node) == BOOT_CPU and not event.on:
            self._accepted = self._gic_closed = False

    def _on_call(self, moment: Moment, event: VpsciCall) -> None:
        if event.function not in SYSTEM_SUSPEND:
            return
        if event.domain in self._control and self._asking & self._control:
            self.reached["two_control_domains_at_once"] = True
        self._asking.add(event.domain)

    def _on_result(self, moment: Moment, event: VpsciResult) -> None:
        if event.function in SYSTEM_SUSPEND:
            self._asking.discard(event.domain)

    def _on_pause_count(self, moment: Moment, event: PauseCount) -> None:
        """`xl resume` of a domain that has shut down, and has not attached its resume context."""
        if event.count and event.domain in self._asking and event.domain in self._shadow.shutdown:
            self.reached["resume_before_result"] = True

    def _on_watchdog(self, moment: Moment, event: Watchdog) -> None:
        if event.event in ("fired", "spared") and event.domain in self._shadow.frozen:
            self.reached["watchdog_expires_while_frozen"] = True
