"""call_psci_cpu_off panics when firmware says DENIED."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.scenario import PointAction, Profile, Scenario

MUTANT = Mutant(
    id="cpu-off-panics",
    title="Firmware refuses CPU_OFF of one CPU, and Xen takes the whole machine down",
    source="Xen cd80acdadd (2018-06-01); TF-A issue tf-issues#323",
    section="B",
    confidence="high",
    property="no_panic",
    finding="PSCI cpu off failed",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """As published."""
    return stand_in(profile, "cpu_off_refused", "cpu_off_refused_panic")


def change_scenario(scenario: Scenario) -> Scenario:
    """Firmware refuses CPU_OFF of CPU1, as one with a Trusted OS on it may."""
    refusal = PointAction(point="el3.CPU_OFF pe1", return_code=-3)
    steps = tuple(step for step in scenario.steps if step.power is None and step.irq is None)
    return replace(scenario, points=(*scenario.points, refusal), steps=steps, outcomes=("aborted",))
