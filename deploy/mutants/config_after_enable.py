"""ISENABLER is restored before ICFGR, so the trigger of an enabled interrupt is changed."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="config-after-enable",
    title="gic_resume enables interrupts before it writes their triggers",
    source="Suspend to RAM series v10, 02/13 and 04/13, change notes (2026-05-21)",
    section="C",
    confidence="high",
    core=True,
    property="I4",
    finding="changed while enabled",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """The order of the 2025-03 series."""
    return stand_in(profile, "gic_restore_arrays", "gic_restore_arrays_enables_first")
