"""The barrier of cpu_down and the batch that it waits for each wait for the other."""

from msgspec.structs import replace

from proto.patch import Mutant, relink_xen, stand_in
from proto.platform import Platform
from proto.scenario import Profile
from services.pcpu.pe import Pe

MUTANT = Mutant(
    id="rcu-vs-scheduler-rendezvous",
    title="rcu_barrier waits for a softirq that cannot run while it waits",
    source="Xen 4e9c57c4ed (2020-05-15)",
    section="B",
    confidence="high",
    property="progress",
    finding="had not ended",
    scenario="one-domain",
)


@relink_xen
async def rcu_barrier(pe: Pe) -> None:
    """Sleeps until the callbacks have run, and serves no softirq meanwhile."""
    for head in pe.xen.rcu_heads:
        while owner := await pe.load(head.cpu):
            await pe.wfe(head.cpu, owner)


def change_profile(profile: Profile) -> Profile:
    """Suspend frees the per-CPU areas, as before 2025-03: there is something to wait for."""
    return stand_in(profile, "free_percpu_area", "free_percpu_area_always")


def change_platform(platform: Platform) -> Platform:
    """Three PEs: the second to go is what waits."""
    return replace(platform, clusters=(3,))
