"""VTCR_EL2 is written at boot only; a CPU that comes back runs guests without it."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="missing-vtcr-on-hotplug",
    title="A CPU that was plugged again enters a guest without stage 2 control",
    source="Xen 2116030345 (2018-06-01)",
    section="B",
    confidence="high",
    property="no_panic",
    finding="VTCR_EL2 is UNKNOWN",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """Set up at boot, and only there."""
    return stand_in(profile, "setup_virt_paging_one", "setup_virt_paging_one_at_boot_only")
