"""OS-initiated mode: the caller names the state of each level, firmware checks it.

Source: DEN 0022, "OS-initiated mode"; TF-A lib/psci/psci_common.c,
`psci_validate_state_coordination`.
"""

from proto.image import symbol
from proto.psci import Affinity, PsciError
from services.firmware.context import El3Context
from services.firmware.memory import LocalState
from services.firmware.psci_power_state import States


@symbol
async def psci_validate_state_coordination(el3: El3Context, states: States) -> PsciError:
    """Whether every node may go into its named state; the caller holds the domains' locks.

    DENIED if a child of such a node still runs, or is about to; INVALID_PARAMETERS if one sleeps
    less deeply than the node would.
    """
    found: list[tuple[LocalState, LocalState]] = []
    for level, wanted in enumerate(states[1:], start=1):
        if wanted is LocalState.RUN:
            break
        found += [(state, wanted) for state in await psci_other_children(el3, level)]
    if any(state is LocalState.RUN for state, _ in found):
        return PsciError.DENIED
    if any(state < wanted for state, wanted in found):
        return PsciError.INVALID_PARAMETERS
    return PsciError.SUCCESS


@symbol
async def psci_other_children(el3: El3Context, level: int) -> list[LocalState]:
    """States of the children of this PE's node of a level, without the one the PE is in."""
    memory = el3.memory
    members = memory.members(memory.parents(el3.cpu)[level - 1])
    if level > 1:
        own = memory.local_state(el3.cpu, level - 1)
        cells = dict.fromkeys(memory.local_state(cpu, level - 1) for cpu in members)
        others = [cell for cell in cells if cell != own]
        return [LocalState(value) for value in await el3.load_burst(others)]
    states = []
    for cpu in members:
        if cpu != el3.cpu:
            data = memory.cpus[cpu]
            affinity, state = await el3.load_burst((data.aff_info_state, data.local_state))
            states.append(CORE_STATES.get(Affinity(affinity), LocalState(state)))
    return states


CORE_STATES: dict[Affinity, LocalState] = {
    Affinity.OFF: LocalState.OFF,
    Affinity.ON_PENDING: LocalState.RUN,
}
"""What a PE that is not ON counts as, whatever it did when it last was."""
