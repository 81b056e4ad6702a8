"""stop_machine resets the count of those who are done and moves to the next state at once."""

from proto.patch import Mutant, relink_xen
from services.pcpu.pe import Pe
from services.pcpu.xen.stop_machine import StopMachineState, stopmachine_wait_state

MUTANT = Mutant(
    id="stop-machine-state-before-done",
    title="The next state is visible before the count is back at zero: a CPU is counted and lost",
    source="Xen, stop_machine.c, stopmachine_set_state without its smp_wmb (f029add7ef, 2008-02)",
    section="B",
    confidence="high",
    property="I6",
    finding="never came back to active",
    platform="dual-weak",
)


@relink_xen
async def stopmachine_set_state(pe: Pe, state: StopMachineState, others: int) -> None:
    """Two stores and nothing between them."""
    data = pe.xen.stop_machine
    await pe.store_burst((data.done, data.state), (0, state))
    await stopmachine_wait_state(pe, others)
