"""The flag that a dying CPU sets is believed, and nobody asks firmware whether it is off."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.scenario import PointAction, Profile, Scenario

MUTANT = Mutant(
    id="dead-flag-before-cpu-off",
    title="cpu_is_dead is set before CPU_OFF, and __cpu_die believes it",
    source="Xen, smpboot.c, stop_cpu and __cpu_die; TF-A, psci_is_last_on_cpu",
    section="B",
    confidence="low",
    core=True,
    property="I1",
    finding="dead-flag-before-cpu-off",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """AFFINITY_INFO is not polled."""
    return stand_in(profile, "cpu_kill", "cpu_kill_believed")


def change_scenario(scenario: Scenario) -> Scenario:
    """The boot CPU has an interrupt to serve when stop_machine lets go of it."""
    busy = PointAction(point="CPU_DYING pe1", irq="uart")
    return replace(scenario, points=(*scenario.points, busy))
