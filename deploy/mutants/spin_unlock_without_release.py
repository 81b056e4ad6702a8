"""A lock is free before what was done under it is visible."""

from msgspec.structs import replace

from proto.cells import Cell
from proto.patch import Mutant, relink_xen
from proto.scenario import Scenario, Step
from services.pcpu.pe import Pe
from services.pcpu.xen.spinlock import FREE

MUTANT = Mutant(
    id="spin-unlock-without-release",
    title="Two CPUs change the RCU's mask of waiting CPUs from one value: the batch never ends",
    source="Xen, spinlock.c, spin_unlock without arch_lock_release_barrier (45fcc4568c, 2015-05)",
    section="B",
    confidence="high",
    property="scenario",
    finding="offline: 0",
    scenario="cpu-hotplug",
    platform="quad-weak",
)


def change_scenario(scenario: Scenario) -> Scenario:
    """rcu_barrier polls for ever: a tenth of a second of that is enough."""
    return replace(scenario, steps=tuple(map(_impatient, scenario.steps)))


def _impatient(step: Step) -> Step:
    if step.expect is None:
        return step
    return replace(step, expect=replace(step.expect, within_ms=1_000))


@relink_xen
async def spin_unlock(pe: Pe, lock: Cell) -> None:
    """The store and the wake-up, no barrier before them."""
    await pe.store(lock, FREE)
    await pe.dsb_ishst()
