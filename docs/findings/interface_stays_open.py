"""Proposed: gic_suspend checks for active priorities and leaves the CPU interface open."""

from proto.patch import stand_in
from proto.scenario import Profile


def change_profile(profile: Profile) -> Profile:
    """IRQs are masked by DAIF.I anyway; what is pending stays visible to firmware."""
    return stand_in(profile, "gic_quiesce", "gic_quiesce")
