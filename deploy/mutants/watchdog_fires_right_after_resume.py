"""Nobody stops a domain's watchdogs while it is suspended: they are overdue when it wakes."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.scenario import DomainSpec, ExpectLine, Profile, Role, Scenario, Step, TypeLine

MUTANT = Mutant(
    id="watchdog-fires-right-after-resume",
    title="A watchdog is live again before the domain's daemon has run, and ends the domain",
    source="Mykola Kvach on the seed's 08/16, 2025-03; Xen e54a6cd6a1 (2025-07-17)",
    section="D",
    confidence="high",
    core=True,
    property="I9",
    finding="domain 0: watchdog 0",
    scenario="guest-watchdog",
    platform="dual",
)

SYMBOLS = ("stop_watchdogs", "restart_watchdogs", "freeze_watchdogs", "thaw_watchdogs")


def change_profile(profile: Profile) -> Profile:
    """They keep their old deadlines."""
    for symbol in SYMBOLS:
        profile = stand_in(profile, symbol, "leave_watchdogs")
    return profile


def change_scenario(scenario: Scenario) -> Scenario:
    """The hardware domain alone sleeps for longer than its watchdog's period."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE, watchdog_s=1),),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(wait_ms=20),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 2")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",), within_ms=20_000)),
        ),
    )
