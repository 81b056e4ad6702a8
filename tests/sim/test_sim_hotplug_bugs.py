"""Whole boards with one published mistake of CPU hotplug each: the judge names it.

Each is a stand-in that Xen's image has for this; the scenario is one suspend cycle of the corrected
design.
"""

import pytest
from msgspec.structs import replace

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import Overrides, resolve
from proto.scenario import Relink
from proto.units import MS
from services.monitor.verdict import Judge, Verdict

pytestmark = [pytest.mark.sim, pytest.mark.timeout(60)]

ONE_CYCLE_NS = 600 * MS
BOOT_NS = 20 * MS
"""Long enough for a mistake that shows at the first guest entry."""


def judged(**links: str) -> Verdict:
    """The verdict on one cycle with symbols relinked."""
    of = resolve("baseline", Overrides(seed=0, profile="baseline"))
    relink = tuple(Relink(symbol=name, stand_in=other) for name, other in links.items())
    of = replace(of, profile=replace(of.profile, relink=relink))
    judge = Judge(of, "sim")
    world = World(build_nodes(of), of.platform.latencies, RandomStrategy(0), judge.feed)
    world.run(BOOT_NS if "setup_virt_paging_one" in links else ONE_CYCLE_NS)
    return judge.conclude(torn=False)


@pytest.mark.parametrize(
    ("links", "found"),
    [
        (
            {"init_percpu_area": "init_percpu_area_busy"},
            ("no_panic", "Xen BUG: cpu_up returned -EBUSY"),
        ),
        (
            {"release_ppis": "release_ppis_and_free"},
            ("I11", "xfree of irqaction of PPI 26 on pe1 with IRQs off and 4 CPUs online"),
        ),
        (
            {"free_percpu_area": "free_percpu_area_always", "rcu_barrier": "rcu_barrier_nothing"},
            ("I4", "the per-CPU area of CPU3, which is online, is freed"),
        ),
        (
            {"reapply_boot_cpu_errata": "reapply_boot_cpu_errata_skipped"},
            ("I4", "a guest runs on CPU0 without the workarounds for its errata"),
        ),
        (
            {"setup_virt_paging_one": "setup_virt_paging_one_at_boot_only"},
            ("no_panic", "pe1 halted: VTCR_EL2 is UNKNOWN"),
        ),
    ],
)
def test_the_bug_is_found(links: dict[str, str], found: tuple[str, str]) -> None:
    """percpu-area-reinit-busy, free-in-cpu-dying, percpu-free-races-up, errata, missing-vtcr."""
    name, text = found
    findings = [(finding.property, finding.text) for finding in judged(**links).findings]

    assert any(which == name and text in what for which, what in findings), findings


@pytest.mark.parametrize(
    "links",
    [
        {},
        {"free_percpu_area": "free_percpu_area_always"},
        {"rcu_barrier": "rcu_barrier_nothing"},
        {"sched_move_timers": "sched_move_timers_never"},
        {"arch_cpu_disable": "arch_cpu_disable_drain_first"},
    ],
)
def test_half_of_a_bug_is_none(links: dict[str, str]) -> None:
    """A free that the barrier waits for, a barrier that has nothing to wait for, and rare races."""
    assert judged(**links).findings == ()
