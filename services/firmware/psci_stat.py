"""STAT_RESIDENCY and STAT_COUNT, and the accounting behind them (TF-A lib/psci/psci_stat.c).

Each PE and each power domain counts how often CPU_SUSPEND has put it into each local state, and for
how long. An entry counts when it is made (in TF-A at its end), its time when it is over. One that
was given up does not count.
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
    nodes = [el3.memory.statistics(el3.cpu, at) for at in range(level + 1)]
    states = await el3.load_burst([el3.memory.local_state(el3.cpu, at) for at in range(level + 1)])
    counts = [node.count[state] for node, state in zip(nodes, states, strict=True)]
    before = await el3.load_burst(counts)
    cells = [*counts, *(node.since for node in nodes)]
    await el3.store_burst(cells, [*(count + 1 for count in before), *([el3.now] * len(nodes))])


@symbol
async def psci_stats_leave(el3: El3Context, slept: bool) -> None:
    """Whatever of this PE's nodes sleeps is awake now; the caller holds the domains' locks."""
    nodes = [el3.memory.statistics(el3.cpu, at) for at in range(el3.platform.levels + 1)]
    since = await el3.load_burst([node.since for node in nodes])
    for level, (node, then) in enumerate(zip(nodes, since, strict=True)):
        if not then:
            continue
        state = await el3.load(el3.memory.local_state(el3.cpu, level))
        cell = node.residency[state] if slept else node.count[state]
        change = el3.now - then if slept else -1
        await el3.store_burst((cell, node.since), (await el3.load(cell) + change, 0))


def _find(el3: El3Context, mpidr: int, power_state: int) -> tuple[Statistics, LocalState] | None:
    """The node that a power state is about, the highest that sleeps in it, and its local state."""
    target = core_of(el3.platform, mpidr)
    states = local_states(el3.platform, power_state)
    if target is None or states is None:
        return None
    level = max(at for at in range(LEVEL_CPU, len(states)) if states[at] is not LocalState.RUN)
    return el3.memory.statistics(target, level), states[level]
