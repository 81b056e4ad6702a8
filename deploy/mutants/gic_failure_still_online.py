"""Nobody looks at what gic_init_secondary_cpu gives."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.scenario import PointAction, Profile, Scenario, Step

MUTANT = Mutant(
    id="gic-failure-still-online",
    title="A CPU whose GIC could not be set up enters the online map",
    source="Xen 0102b592f4 (2026-08-10)",
    section="B",
    confidence="high",
    core=True,
    property="I4",
    finding="CPU1: GICC_CTLR",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """As it was before the fix."""
    return stand_in(profile, "gic_init_secondary_cpu", "gic_init_secondary_cpu_unchecked")


def change_scenario(scenario: Scenario) -> Scenario:
    """The GIC cannot be set up on CPU1 when it comes back; it has a second to show for itself."""
    failure = PointAction(point="gicv2_cpu_init pe1", occurrence=2, return_code=-5)
    awake = next(at for at, step in enumerate(scenario.steps) if step.irq is not None)
    steps = (*scenario.steps[: awake + 1], Step(wait_ms=1_300))
    domains = tuple(replace(spec, tick_us=100_000) for spec in scenario.domains)
    points = (*scenario.points, failure)
    return replace(scenario, domains=domains, points=points, steps=steps)
