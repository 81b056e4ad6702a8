"""The boot CPU comes back by a path of its own, where nobody applies its workarounds."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="boot-cpu-errata-skipped",
    title="The boot CPU comes back without the workarounds for the errata of its core",
    source="Oleksandr Tyshchenko on Suspend to RAM series v9 13/13 (2026-05-17)",
    section="B",
    confidence="high",
    property="I4",
    finding="without the workarounds for its errata",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """R0 without the step."""
    return stand_in(profile, "reapply_boot_cpu_errata", "reapply_boot_cpu_errata_skipped")
