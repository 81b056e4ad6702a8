"""hyp_resume relies on an init_ttbr that bringing up a secondary has left, and there was none."""

from proto.patch import Mutant, move_step
from proto.scenario import Profile

MUTANT = Mutant(
    id="init-ttbr-unset-on-up",
    title="On a uniprocessor nobody has ever set init_ttbr, so hyp_resume finds no page table",
    source="Suspend to RAM series v5 to v6, commit text of the resume path (2025-09-02)",
    section="B",
    confidence="high",
    core=True,
    property="no_panic",
    finding="there is no page table",
    scenario="one-domain",
    platform="uni",
)


def change_profile(profile: Profile) -> Profile:
    """No step of the suspend sets init_ttbr; only __cpu_up does, for a secondary."""
    return move_step(profile, "set_init_ttbr", None)
