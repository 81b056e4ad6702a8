"""MIGRATE, MIGRATE_INFO_TYPE and MIGRATE_INFO_UP_CPU (TF-A lib/psci/psci_main.c).

All three are about a Trusted OS that runs on one PE only; the platform says whether there is one.
"""

from proto.image import symbol
from proto.platform import TrustedOs
from proto.psci import Affinity, PsciError
from services.firmware.context import El3Context
from services.firmware.psci_common import core_of, psci_get_aff_info_state


@symbol
async def psci_migrate(el3: El3Context, mpidr: int) -> int:
    """MIGRATE (DEN 0022): move the Trusted OS from the caller to another PE.

    DENIED if it cannot move, NOT_PRESENT if it lives elsewhere, INVALID_PARAMETERS if the target
    does not exist or is not ON.
    """
    if el3.platform.trusted_os is TrustedOs.UP_FIXED:
        return PsciError.DENIED
    if not await psci_trusted_os_resident(el3):
        return PsciError.NOT_PRESENT
    target = core_of(el3.platform, mpidr)
    if target is None or await psci_get_aff_info_state(el3, target) is not Affinity.ON:
        return PsciError.INVALID_PARAMETERS
    await el3.store(el3.memory.globals.trusted_os_cpu, target)
    return PsciError.SUCCESS


@symbol
async def psci_migrate_info_type(el3: El3Context) -> int:
    """MIGRATE_INFO_TYPE (DEN 0022): what kind of Trusted OS there is."""
    return el3.platform.trusted_os.migrate_info


@symbol
async def psci_migrate_info_up_cpu(el3: El3Context) -> int:
    """MIGRATE_INFO_UP_CPU (DEN 0022): MPIDR of the PE where the Trusted OS lives."""
    return el3.platform.mpidrs[await el3.load(el3.memory.globals.trusted_os_cpu)]


@symbol
async def psci_trusted_os_resident(el3: El3Context) -> bool:
    """Whether a uniprocessor Trusted OS lives on this PE, which may then not go away."""
    if el3.platform.trusted_os is TrustedOs.NONE:
        return False
    return await el3.load(el3.memory.globals.trusted_os_cpu) == el3.cpu
