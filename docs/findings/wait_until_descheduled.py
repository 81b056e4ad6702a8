"""Proposed: CPU_ON waits until the target is no longer on a pCPU before it writes its context."""

from proto.patch import stand_in
from proto.scenario import Profile


def change_profile(profile: Profile) -> Profile:
    """As vcpu_pause does for the same writes from a domctl."""
    return stand_in(profile, "wait_descheduled", "wait_descheduled")
