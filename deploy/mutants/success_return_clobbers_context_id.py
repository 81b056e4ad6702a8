"""SYSTEM_SUSPEND continues as any hypercall does, which ends with its result in the caller's x0."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.scenario import Profile, Scenario

MUTANT = Mutant(
    id="success-return-clobbers-context-id",
    title="The result of the call is written over the context id in x0",
    source='"[PATCH v6 11/13] ... system suspend triggered by hardware domain", change note, '
    "2025-09-02; Julien Grall on the seed's 11/16, March 2025",
    section="A",
    confidence="high",
    core=True,
    property="I3",
    finding="resumed with x0",
    platform="dual",
)


def change_profile(profile: Profile) -> Profile:
    """arch_hypercall_tasklet_result writes x0 whatever the function was."""
    return stand_in(profile, "hypercall_tasklet_result", "hypercall_tasklet_result_always")


def change_scenario(scenario: Scenario) -> Scenario:
    """The hardware domain passes a context id, where Linux passes 0 and notices nothing."""
    first, *others = scenario.domains
    return replace(scenario, domains=(replace(first, context_id=0xD0), *others))
