"""A domain that is merely frozen keeps its watchdogs: it cannot pat them, and is no sleeper."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.scenario import DomainSpec, ExpectLine, Profile, Role, Scenario, Step, TypeLine

MUTANT = Mutant(
    id="frozen-domain-watchdog",
    title="A domain that was frozen for the host's sleep is shut down as hung",
    source="Mykola Kvach, case 1, quoted by Jan Beulich on the seed's 08/16, 2025-03-24",
    section="D",
    confidence="med",
    core=True,
    property="I9",
    finding="domain 1: watchdog 0",
    scenario="guest-watchdog",
    platform="dual",
)


def change_profile(profile: Profile) -> Profile:
    """Only a domain's own SYSTEM_SUSPEND stops its watchdogs."""
    profile = stand_in(profile, "freeze_watchdogs", "leave_watchdogs")
    return stand_in(profile, "thaw_watchdogs", "leave_watchdogs")


def change_scenario(scenario: Scenario) -> Scenario:
    """The host sleeps for longer than the period of a guest that knows nothing of it."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE), DomainSpec(id=1, watchdog_s=1)),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(expect=ExpectLine(domain=1, any_of=("dom1: up",), since="start")),
            Step(wait_ms=20),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 2")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",), within_ms=20_000)),
            Step(wait_ms=20),
        ),
    )
