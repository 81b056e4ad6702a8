"""What sleep must not do to Xen itself: timers that wake it, and its heap with IRQs off."""

from proto.gic import PPI_HYP_TIMER, PPI_PHYS_TIMER, PPI_VIRT_TIMER, SPI_FIRST
from proto.traces import HeapUse, IntState, SystemPower, SystemSuspendDecision
from services.monitor.evidence import Moment, Table
from services.monitor.prop import Property, names
from services.monitor.shadow import Shadow

TIMERS = {
    PPI_HYP_TIMER: "Xen's timer",
    PPI_VIRT_TIMER: "a guest's virtual timer",
    PPI_PHYS_TIMER: "a guest's physical timer",
}
"""PPIs of the generic timer, for people."""


class NoTimerWakes(Property):
    """Judged when `scp` wakes the system, and when EL3 returns in place.

    In the second case the culprit is what was pending, enabled and meant for the caller; timers are
    blamed only if nothing else was.
    """

    name = "I8"
    clause = "No Xen or guest timer wakes the host (Xen suspend, S8, time_suspend)"

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._pending: dict[tuple[int, int], int] = {}
        """CPU (-1 for an SPI) and INTID of what waits at the GIC, with the position."""

    @property
    def traced(self) -> Table:
        """What waits at the GIC, what wakes the system, what EL3 decides."""
        return {
            IntState: self._on_int_state,
            SystemPower: self._on_system_power,
            SystemSuspendDecision: self._on_decision,
        }

    def _on_int_state(self, moment: Moment, event: IntState) -> None:
        if event.pending and not event.active:
            self._pending.setdefault((event.cpu, event.intid), moment.position)
        else:
            self._pending.pop((event.cpu, event.intid), None)

    def _on_system_power(self, moment: Moment, event: SystemPower) -> None:
        if event.state != "waking":
            return
        self.reached = True
        if event.intid in TIMERS:
            text = f"INTID {event.intid}, {TIMERS[event.intid]}, woke the system"
            self.find(text, moment.position)

    def _on_decision(self, moment: Moment, event: SystemSuspendDecision) -> None:
        if event.result != "PENDING":
            return
        self.reached = True
        culprits = self._meant_for(event.caller)
        if not culprits or culprits.keys() - TIMERS.keys():
            return
        which = names([f"INTID {intid}, {TIMERS[intid]}" for intid in culprits])
        text = f"{which}, kept the system awake: nothing else was pending for CPU{event.caller}"
        self.find(text, *culprits.values(), moment.position)

    def _meant_for(self, cpu: int) -> dict[int, int]:
        """What waits at the GIC for a CPU, with the positions."""
        gic = self.shadow.gic
        return {
            intid: position
            for (bank, intid), position in sorted(self._pending.items())
            if gic.enabled(cpu, intid)
            and (bank == cpu if intid < SPI_FIRST else gic.targets(intid) >> cpu & 1)
        }


class NoHeapWithIrqsOff(Property):
    """Judged on each call of the allocator."""

    name = "I11"
    clause = (
        "No allocation or free with IRQs off and several CPUs online "
        "(Xen, xmalloc and xfree: ASSERT_ALLOC_CONTEXT)"
    )

    @property
    def traced(self) -> Table:
        """Calls of the allocator."""
        return {HeapUse: self._on_heap_use}

    def _on_heap_use(self, moment: Moment, event: HeapUse) -> None:
        self.reached = True
        if event.irq_masked and event.online > 1:
            text = f"{event.operation} of {event.what} on {moment.node} with IRQs off and"
            self.find(f"{text} {event.online} CPUs online", moment.position)
