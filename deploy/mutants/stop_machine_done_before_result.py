"""A CPU says that it is done with its part of stop_machine before its result can be read."""

from msgspec.structs import replace

from proto.patch import Mutant, relink_xen
from proto.scenario import PointAction, Scenario
from services.pcpu.pe import Pe
from services.pcpu.xen.stop_machine import StopMachineState

MUTANT = Mutant(
    id="stop-machine-done-before-result",
    title="A refusal inside stop_machine is read as success: the caller waits for a CPU that stays",
    source="Xen, stop_machine.c, stopmachine_action without its smp_mb (f029add7ef, 2008-02)",
    section="B",
    confidence="high",
    property="I6",
    finding="never came back to active",
    scenario="suspend-cpu-stays-up",
    platform="quad-weak",
)

ENOMEM = -12


def change_scenario(scenario: Scenario) -> Scenario:
    """The refusal comes from the CPU that is to go."""
    others = [action for action in scenario.points if not action.point.startswith("CPU_")]
    refusal = PointAction(point="CPU_DYING pe2", return_code=ENOMEM)
    return replace(scenario, points=(refusal, *others))


@relink_xen
async def stopmachine_action(pe: Pe, cpu: int) -> None:
    """As it is, but `done` is counted (atomic_inc) without a barrier before it."""
    data = pe.xen.stop_machine
    state: int = StopMachineState.IDLE
    while state != StopMachineState.EXIT:
        state = await pe.wfe(data.state, state)
        if state == StopMachineState.DISABLE_IRQ:
            await pe.irq_disable()
        elif state == StopMachineState.INVOKE:
            function, target = await pe.load_burst((data.fn, data.fn_cpu))
            if target == pe.cpu:
                name = pe.image.at(function)
                assert name is not None
                await pe.store(data.result, await pe.links[name](pe))
        await pe.fetch_add(data.done, 1, relaxed=True)
    await pe.irq_enable()
