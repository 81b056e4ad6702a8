"""A CPU that dies frees the actions of its PPIs, where nobody may call the allocator."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="free-in-cpu-dying",
    title="CPU_DYING frees IRQ actions inside stop_machine, with IRQs off and two CPUs online",
    source="[PATCH 04/16] xen/cpu: prevent disable_nonboot_cpus crash on ARM64 (2025-03-05)",
    section="B",
    confidence="high",
    property="I11",
    finding="xfree of irqaction",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """As published before the fix."""
    return stand_in(profile, "release_ppis", "release_ppis_and_free")
