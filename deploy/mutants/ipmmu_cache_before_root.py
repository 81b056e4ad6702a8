"""The cache unit's micro-TLBs are restored before the root contexts that they refer to."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="ipmmu-cache-before-root",
    title="The IPMMU's cache unit uses contexts that have not been restored yet",
    source="Suspend to RAM series v10, change note of 08/13, 2026-05-21",
    section="D",
    confidence="high",
    property="I4",
    finding="is enabled before its root context",
    platform="dual",
)


def change_profile(profile: Profile) -> Profile:
    """The order of the devices in the driver's list."""
    return stand_in(profile, "ipmmu_resume", "ipmmu_resume_cache_first")
