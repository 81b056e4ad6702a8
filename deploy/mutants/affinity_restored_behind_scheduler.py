"""A vCPU's processor is changed while it still waits in the run queue of another CPU."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="affinity-restored-behind-scheduler",
    title="Every resume puts vCPUs back by their affinity, and the scheduler is not told",
    source="Xen fce1f381f7 (2022-10-21)",
    section="B",
    confidence="high",
    core=True,
    property="I7",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """As it was before the fix."""
    return stand_in(profile, "scheduler_enable", "scheduler_enable_and_restore_affinity")
