"""STAT_RESIDENCY and STAT_COUNT, and the accounting behind them (TF-A lib/psci/psci_stat.c).

Each PE and each power domain counts how often CPU_SUSPEND has put it into each local state, and for
how long. A sleep counts when it ends; one that was given up does not.
"""

from proto.image import symbol
from proto.units import US
from services.firmware.context import El3Context
from services.firmware.memory import LocalState, Statistics
from services.firmware.psci_common import LEVEL_CPU, core_of
from services.firmware.psci_power_state import local_states


@symbol
async def psci_stat_residency(el3: El3Context, mpidr: int, power_state: int) -> int:
    """STAT_RESIDENCY (DEN 0022): microseconds in a state since cold boot; 0 for bad arguments."""
    found = _find(el3, mpidr, power_state)
    if found is None:
        return 0
    statistics, state = found
    return await el3.load(statistics.residency[state]) // US


@symbol
async def psci_stat_count(el3: El3Context, mpidr: int, power_state: int) -> int:
    """STAT_COUNT (DEN 0022): how often a state was used since cold boot; 0 for bad arguments."""
    found = _find(el3, mpidr, power_state)
    if found is None:
        return 0
    statistics, state = found
    return await el3.load(statistics.count[state])


@symbol
async def psci_stats_enter(el3: El3Context, level: int) -> None:
    """This PE's nodes up to a level go to sleep now; the caller holds the domains' locks."""
    cells = [el3.memory.statistics(el3.cpu, at).since for at in range(level + 1)]
    await el3.store_burst(cells, [el3.now] * len(cells))


@symbol
async def psci_stats_leave(el3: El3Context, slept: bool) -> None:
    """Whatever of this PE's nodes sleeps is awake now; the caller holds the domains' locks."""
    nodes = [el3.memory.statistics(el3.cpu, at) for at in range(el3.platform.levels + 1)]
    since = await el3.load_burst([node.since for node in nodes])
    for level, (node, then) in enumerate(zip(nodes, since, strict=True)):
        if then and slept:
            await _account(el3, level, node, then)
        elif then:
            await el3.store(node.since, 0)


async def _account(el3: El3Context, level: int, node: Statistics, since: int) -> None:
    """Add one sleep to the statistics of a node."""
    state = await el3.load(el3.memory.local_state(el3.cpu, level))
    cells = (node.count[state], node.residency[state], node.since)
    count, residency, _ = await el3.load_burst(cells)
    await el3.store_burst(cells, (count + 1, residency + el3.now - since, 0))


def _find(el3: El3Context, mpidr: int, power_state: int) -> tuple[Statistics, LocalState] | None:
    """The node that a power state is about, the highest that sleeps in it, and its local state."""
    target = core_of(el3.platform, mpidr)
    states = local_states(el3.platform, power_state)
    if target is None or states is None:
        return None
    level = max(at for at in range(LEVEL_CPU, len(states)) if states[at] is not LocalState.RUN)
    return el3.memory.statistics(target, level), states[level]
