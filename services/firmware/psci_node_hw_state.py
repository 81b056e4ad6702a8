"""NODE_HW_STATE (TF-A lib/psci/psci_main.c, `psci_node_hw_state`)."""

from proto.ids import SCP
from proto.image import symbol
from proto.messages import PowerQuery
from proto.platform import Platform
from proto.psci import AFFINITY_SHIFTS, MPIDR_MASK_64, HwState, PsciError
from services.firmware.context import El3Context
from services.firmware.memory import LocalState
from services.firmware.psci_common import LEVEL_CPU

DOMAIN_STATES: dict[LocalState, HwState] = {
    LocalState.RUN: HwState.ON,
    LocalState.RETENTION: HwState.STANDBY,
    LocalState.OFF: HwState.OFF,
}
"""What a domain's power switch does in a local state."""


@symbol
async def psci_node_hw_state(el3: El3Context, mpidr: int, level: int) -> int:
    """NODE_HW_STATE (DEN 0022): 0 on, 1 off, 2 standby; INVALID_PARAMETERS.

    It tells what the power switches do, not what was asked for: a PE that is ON_PENDING is off
    until its rail has risen. Affinity fields below the level do not count.
    """
    target = _member_of(el3.platform, mpidr, level)
    if target is None:
        return PsciError.INVALID_PARAMETERS
    if level == LEVEL_CPU:
        return await psci_cpu_hw_state(el3, target)
    domain = el3.memory.parents(target)[level - 1]
    state = LocalState(await el3.load(domain.local_state))
    if state is LocalState.OFF:
        # A domain that is to go off, or has to come on, has power as long as a PE in it has.
        for cpu in el3.memory.members(domain):
            if await psci_cpu_hw_state(el3, cpu) != HwState.OFF:
                return HwState.ON
    return DOMAIN_STATES[state]


@symbol
async def psci_cpu_hw_state(el3: El3Context, cpu: int) -> int:
    """What the rail of a PE does, as the power controller sees it."""
    return int(await el3.transact(SCP, lambda tx: PowerQuery(tx, cpu)))


def _member_of(platform: Platform, mpidr: int, level: int) -> int | None:
    """A PE of the node that an MPIDR names at a level; None if there is no such node."""
    if mpidr & ~MPIDR_MASK_64 or level > platform.levels:
        return None
    above = sum(0xFF << shift for shift in AFFINITY_SHIFTS[level:])
    for cpu, own in enumerate(platform.mpidrs):
        if own & above == mpidr & above:
            return cpu
    return None
