"""The area of a CPU is kept over suspend, and then an area that exists is an error."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="percpu-area-reinit-busy",
    title="CPU_UP_PREPARE refuses a CPU whose area suspend has kept, and resume is a BUG",
    source="Xen 282fa3fdb6 (2025-03-31)",
    section="B",
    confidence="high",
    core=True,
    property="no_panic",
    finding="cpu_up returned -EBUSY",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """As it was before the fix."""
    return stand_in(profile, "init_percpu_area", "init_percpu_area_busy")
