"""AFFINITY_INFO (TF-A lib/psci/psci_main.c, `psci_affinity_info`)."""

from proto.image import symbol
from proto.psci import PsciError
from services.firmware.context import El3Context
from services.firmware.psci_common import LEVEL_CPU, core_of, psci_get_aff_info_state


@symbol
async def psci_affinity_info(el3: El3Context, mpidr: int, lowest_level: int) -> int:
    """AFFINITY_INFO (DEN 0022): 0 ON, 1 OFF, 2 ON_PENDING; INVALID_PARAMETERS, DISABLED.

    Only level 0 is tracked, as PSCI 1.0 and later allow.
    """
    target = core_of(el3.platform, mpidr)
    if target is None or lowest_level > LEVEL_CPU:
        return PsciError.INVALID_PARAMETERS
    if target in el3.platform.disabled:
        return PsciError.DISABLED
    return await psci_get_aff_info_state(el3, target)
