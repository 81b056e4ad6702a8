"""Proposed: __cpu_die asks AFFINITY_INFO until firmware says OFF, and gives up after 100 ms."""

from proto.patch import stand_in
from proto.scenario import Profile


def change_profile(profile: Profile) -> Profile:
    """The poll of cpu_kill in the place of believing cpu_is_dead."""
    return stand_in(profile, "cpu_kill", "cpu_kill")
