"""A vCPU that is down counts as stopped, though it is still on its pCPU and will be saved there."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.scenario import DomainSpec, ExpectLine, Profile, Role, Scenario, Step, TypeLine

MUTANT = Mutant(
    id="offline-flag-before-descheduled",
    title="CPU_ON writes the context of a vCPU that is still on its pCPU, which then saves over it",
    source="Xen, xen/arch/arm/vpsci.c, do_psci_cpu_off and do_common_cpu_on (HEAD)",
    section="A",
    confidence="low",
    core=True,
    property="I3",
    scenario="guest-bad-calls",
    platform="dual",
)


def change_profile(profile: Profile) -> Profile:
    """_VPF_down is all that CPU_ON looks at."""
    return stand_in(profile, "wait_descheduled", "wait_descheduled_skipped")


def change_scenario(scenario: Scenario) -> Scenario:
    """A guest that starts a vCPU again as soon as AFFINITY_INFO says that it is off."""
    tick_us = 20_000
    return replace(
        scenario,
        domains=(
            DomainSpec(id=0, role=Role.HARDWARE, tick_us=tick_us),
            DomainSpec(id=1, vcpus=2, tick_us=tick_us),
        ),
        points=(),
        steps=(
            Step(expect=ExpectLine(domain=1, any_of=("dom1: up",), since="start")),
            Step(type_line=TypeLine(domain=1, line="smp-test 10")),
            Step(expect=ExpectLine(domain=1, any_of=("smp-test: done", "stays on"))),
            Step(wait_ms=1_200),
        ),
    )
