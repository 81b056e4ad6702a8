"""SET_SUSPEND_MODE (TF-A lib/psci/psci_main.c, `psci_set_suspend_mode`)."""

from proto.image import symbol
from proto.psci import Affinity, PsciError, SuspendMode
from services.firmware.context import El3Context
from services.firmware.psci_common import psci_affinity_states


@symbol
async def psci_set_suspend_mode(el3: El3Context, mode: int) -> int:
    """SET_SUSPEND_MODE (DEN 0022): 0 platform-coordinated, 1 OS-initiated.

    INVALID_PARAMETERS; DENIED if PEs are in a state that the other mode would not understand. To
    set the mode that is set already is always a success.
    """
    if mode not in tuple(SuspendMode):
        return PsciError.INVALID_PARAMETERS
    shared = el3.memory.globals
    before, called = await el3.load_burst((shared.suspend_mode, shared.cpu_suspend_called))
    if before == mode:
        return PsciError.SUCCESS
    states = await psci_affinity_states(el3)
    if mode == SuspendMode.PLATFORM_COORDINATED:
        others = (state for cpu, state in enumerate(states) if cpu != el3.cpu)
        denied = any(state is not Affinity.OFF for state in others)
    else:
        # Without a CPU_SUSPEND since the boot, whoever sleeps does so by CPU_DEFAULT_SUSPEND.
        denied = bool(called) or Affinity.ON_PENDING in states
    if denied:
        return PsciError.DENIED
    await el3.store_burst((shared.suspend_mode, shared.cpu_suspend_called), (mode, 0))
    return PsciError.SUCCESS
