"""time_suspend is left out, so a deadline of Xen's ends the sleep."""

from proto.patch import Mutant, move_step
from proto.scenario import Profile

MUTANT = Mutant(
    id="timer-wakes-host",
    title="A hypervisor timer that was left armed wakes the host at once",
    source="Suspend to RAM series v11, 01/13, commit text (2026-06-10)",
    section="D",
    confidence="high",
    core=True,
    property="I8",
)


def change_profile(profile: Profile) -> Profile:
    """The table of steps without S8."""
    return move_step(profile, "time_suspend", None)
