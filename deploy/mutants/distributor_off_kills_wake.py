"""gic_suspend disables the distributor, and with it the only thing that could end the sleep."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.platform import Platform
from proto.scenario import Profile

MUTANT = Mutant(
    id="distributor-off-kills-wake",
    title="A board whose wake signal comes from the GIC never wakes, for the distributor is off",
    source="Mykola Kvach on Suspend to RAM series v7 02/12 (2026-01 and 2026-03)",
    section="C",
    confidence="med",
    core=True,
    property="I5",
    finding="did not end the sleep",
    scenario="one-domain",
    power="gic-retained",
)


def change_profile(profile: Profile) -> Profile:
    """S9 of the 2026-06 series."""
    return stand_in(profile, "gic_quiesce", "gic_quiesce_closed")


def change_platform(platform: Platform) -> Platform:
    """No device has a wire to the power controller: the wake signal is the GIC's output."""
    return replace(platform, wake_wires=False)
