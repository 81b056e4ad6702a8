"""Interleavings that a set of runs should reach: a campaign that never does proves little."""

from proto.ids import CpuIndex
from proto.traces import AffinityState, IntState, Phase
from services.monitor.evidence import Moment, Table
from services.monitor.shadow import Shadow

_BOOT_CPU = CpuIndex(0)


class Sometimes:
    """Observes which of the named interleavings this journal contains."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._unmasked_and_frozen = False
        self.reached = {
            "cpu_off_completes_after_later_step": False,
            "cpu_off_completes_before_later_step": False,
            "interrupt_between_freeze_and_mask": False,
        }

    @property
    def traced(self) -> Table:
        """Firmware's states, interrupts, phases."""
        return {
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

    def _on_affinity(self, moment: Moment, event: AffinityState) -> None:
        attempt = self._shadow.attempt
        if attempt is None or event.cpu == _BOOT_CPU or event.state != "OFF":
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
