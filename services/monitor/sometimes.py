"""Interleavings that a set of runs should reach: a campaign that never does proves little."""

from proto.ids import cpu_of
from proto.psci import Psci
from proto.traces import AffinityState, IntState, Phase, SmcIssued
from services.monitor.attempts import Attempt
from services.monitor.evidence import Moment, Table
from services.monitor.shadow import Shadow


class Sometimes:
    """Observes which of the named interleavings this journal contains."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._unmasked_and_frozen = False
        self._going_off: dict[int, Attempt] = {}
        """CPUs inside CPU_OFF, with the attempt that took them down."""
        self.reached = {
            "cpu_off_completes_after_later_step": False,
            "cpu_off_completes_before_later_step": False,
            "interrupt_between_freeze_and_mask": False,
        }

    @property
    def traced(self) -> Table:
        """Calls of firmware and its states, interrupts, phases."""
        return {
            SmcIssued: self._on_smc,
            AffinityState: self._on_affinity,
            IntState: self._on_int_state,
            Phase: self._on_phase,
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

    def _on_int_state(self, moment: Moment, event: IntState) -> None:
        if event.pending and self._unmasked_and_frozen:
            self.reached["interrupt_between_freeze_and_mask"] = True
