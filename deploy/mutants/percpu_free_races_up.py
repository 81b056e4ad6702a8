"""A deferred free of a per-CPU area is still queued when its CPU comes back."""

from proto.patch import Mutant, stand_in
from proto.scenario import Profile

MUTANT = Mutant(
    id="percpu-free-races-up",
    title="The per-CPU area of a CPU is freed by RCU after the CPU has come up again",
    source="Suspend to RAM series, comment at rcu_barrier in enable_nonboot_cpus, since 2025-03-05",
    section="B",
    confidence="high",
    core=True,
    property="I4",
    finding="which is online, is freed",
    scenario="one-domain",
)


def change_profile(profile: Profile) -> Profile:
    """The area is freed at suspend too, and R7 does not wait for it."""
    profile = stand_in(profile, "free_percpu_area", "free_percpu_area_always")
    return stand_in(profile, "rcu_barrier", "rcu_barrier_nothing")
