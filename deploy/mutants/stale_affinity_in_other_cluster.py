"""A core's OFF is not seen in another cluster, because its own had left coherency before."""

from weakref import WeakKeyDictionary

from msgspec.structs import replace

from proto.patch import Mutant, relink_firmware
from proto.platform import Platform
from proto.psci import Affinity
from proto.scenario import PointAction, Scenario
from services.firmware.context import El3Context
from services.firmware.memory import LocalState

MUTANT = Mutant(
    id="stale-affinity-in-other-cluster",
    title="The state of the last core of another cluster is read from a cache that was not told",
    source="TF-A 71341d236 (2017-07-19)",
    section="B",
    confidence="high",
    core=True,
    property="psci_info",
    finding="AFFINITY_INFO said that CPU1 was ON",
    scenario="one-domain",
)


LINES: WeakKeyDictionary[El3Context, dict[int, Affinity]] = WeakKeyDictionary()
"""By PE, as long as it has power: what its cache holds of the states of others."""


@relink_firmware
async def psci_get_aff_info_state(el3: El3Context, cpu: int) -> Affinity:
    """Reads without a flush first.

    The last core of a cluster writes its OFF when the cluster has left coherency, so no snoop takes
    an ON out of the reader's cache.
    """
    lines = LINES.setdefault(el3, {})
    cluster, own = el3.memory.parents(cpu)[0], el3.memory.parents(el3.cpu)[0]
    held = cluster is not own and lines.get(cpu) is Affinity.ON
    if held and await el3.load(cluster.local_state) == LocalState.OFF:
        return lines[cpu]
    lines[cpu] = Affinity(await el3.load(el3.memory.cpus[cpu].aff_info_state))
    return lines[cpu]


def change_platform(platform: Platform) -> Platform:
    """Two clusters of one core, with large caches."""
    slow = replace(platform.latencies, cache_flush=(5_000, 400_000))
    return replace(platform, clusters=(1, 1), latencies=slow)


def change_scenario(scenario: Scenario) -> Scenario:
    """The boot CPU has an interrupt to serve when stop_machine lets go of it."""
    busy = PointAction(point="CPU_DYING pe1", irq="uart")
    return replace(scenario, points=(*scenario.points, busy))
