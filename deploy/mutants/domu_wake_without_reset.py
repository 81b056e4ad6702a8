"""Reset and watchdogs are seen to for vCPU 0 of the hardware domain, and for nobody else."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="domu-wake-without-reset",
    title="A domU's SYSTEM_SUSPEND is accepted, but the domU wakes behind the call",
    source='Series "Suspend to RAM support for Xen on arm64", 2025-03-05, first TODO; '
    "Julien Grall's reply, 2025-03-11",
    section="A",
    confidence="high",
    core=True,
    property="I3",
    finding="continued behind the call",
    scenario="guest-suspend",
    platform="dual",
)

ROWS = {
    "domain_suspended": "domain_suspended_in_place",
    "stop_watchdogs": "stop_watchdogs_of_hardware_domain",
    "restart_watchdogs": "restart_watchdogs_of_hardware_domain",
}


def change_profile(profile: Profile) -> Profile:
    """As in the series of 2025-03."""
    for symbol, name in ROWS.items():
        profile = stand_in(profile, symbol, name)
    return profile
