"""Whether the host can suspend is looked at when every domain has been frozen already."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.platform import ConsoleDriver, Platform
from proto.scenario import DomainSpec, ExpectLine, Profile, Role, Scenario, Step, TypeLine

MUTANT = Mutant(
    id="freeze-before-checking",
    title="The whole system is stopped to fail at once, and the guest sees a wake, not an error",
    source="Jan Beulich on v8 13/13, 2026-04-02; Luca Fancellu, 2026-04-29",
    section="A",
    confidence="high",
    property="outcome",
    finding="was aborted",
    scenario="v11",
    profile="v11",
    platform="dual",
)


def change_profile(profile: Profile) -> Profile:
    """The call is taken unchecked; the check is a step behind scheduler_disable, as in v8."""
    profile = stand_in(profile, "suspend_policy", "suspend_policy_unchecked")
    steps = list(profile.suspend_steps)
    steps.insert(steps.index("scheduler_disable") + 1, "check_host_suspend")
    return replace(profile, suspend_steps=tuple(steps))


def change_platform(platform: Platform) -> Platform:
    """A serial port whose driver has no suspend callbacks."""
    return replace(platform, console=ConsoleDriver.PL011)


def change_scenario(scenario: Scenario) -> Scenario:
    """No other domain: only the driver stands against it."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE),),
        points=(),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(type_line=TypeLine(domain=0, line="echo mem > /sys/power/state")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",))),
        ),
        outcomes=("slept", "denied"),
    )
