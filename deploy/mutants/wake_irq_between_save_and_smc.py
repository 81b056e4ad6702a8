"""S9 closes the interface, so firmware does not see what comes next, and the GIC forgets it."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.platform import RTC_SPI, Platform
from proto.scenario import PointAction, Profile, Scenario

MUTANT = Mutant(
    id="wake-irq-between-save-and-smc",
    title="A wake interrupt behind S9 is hidden from firmware and lost with the power of the GIC",
    source="TF-A, psci_cpu_suspend_start, 22f08973f (2015); Suspend to RAM series v11, 02/13",
    section="C",
    confidence="low",
    core=True,
    property="I5",
    finding="gicd lost INTID 34",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """S9 of the 2026-06 series."""
    return stand_in(profile, "gic_quiesce", "gic_quiesce_closed")


def change_platform(platform: Platform) -> Platform:
    """The RTC's interrupt is edge-triggered: nothing but the GIC remembers it."""
    return replace(platform, edge_spis=(RTC_SPI,))


def change_scenario(scenario: Scenario) -> Scenario:
    """The RTC fires in the window."""
    late = PointAction(point="after S9", irq="rtc", hold_us=100)
    steps = tuple(step for step in scenario.steps if step.power is None and step.irq is None)
    return replace(
        scenario,
        points=(*scenario.points, late),
        steps=steps,
        outcomes=("slept", "abandoned"),
    )
