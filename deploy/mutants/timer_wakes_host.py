"""time_suspend is left out, so a deadline of Xen's ends the sleep."""

from msgspec.structs import replace

from proto.patch import Mutant, move_step
from proto.platform import Platform
from proto.scenario import DomainSpec, ExpectLine, Profile, Role, Scenario, Step, TypeLine

MUTANT = Mutant(
    id="timer-wakes-host",
    title="A hypervisor timer that was left armed wakes the host at once",
    source="Suspend to RAM series v11, 01/13, commit text (2026-06-10)",
    section="D",
    confidence="high",
    core=True,
    property="I8",
    platform="uni",
)


def change_profile(profile: Profile) -> Profile:
    """The table of steps without S8."""
    return move_step(profile, "time_suspend", None)


def change_platform(platform: Platform) -> Platform:
    """Devices behind a slow bus: much may expire while Xen saves them with IRQs masked."""
    return replace(platform, latencies=replace(platform.latencies, device=(1_000, 5_000)))


def change_scenario(scenario: Scenario) -> Scenario:
    """A frozen vCPU on CPU0 leaves the deadline of its tick with Xen."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE), DomainSpec(id=1, tick_us=250)),
        points=(),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(expect=ExpectLine(domain=1, any_of=("dom1: up",), since="start")),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 0.1")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",), within_ms=10_000)),
        ),
    )
