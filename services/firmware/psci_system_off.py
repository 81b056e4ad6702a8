"""SYSTEM_OFF, SYSTEM_OFF2 and the resets (TF-A lib/psci/psci_system_off.c)."""

from proto.image import symbol
from proto.psci import PsciError
from services.firmware.context import El3Context
from services.firmware.plat_pm import system_off, system_reset

HIBERNATE_OFF = (0, 1)
"""Types of SYSTEM_OFF2 that mean HIBERNATE_OFF; 0 is an alias (Linux arch/arm64/kvm/psci.c)."""

WARM_RESET = 0


@symbol
async def psci_system_off(el3: El3Context) -> int:
    """SYSTEM_OFF (DEN 0022): does not return, whatever other PEs do."""
    await system_off(el3)
    raise AssertionError("SYSTEM_OFF came back")


@symbol
async def psci_system_off2(el3: El3Context, kind: int, cookie: int) -> int:
    """SYSTEM_OFF2 (DEN 0022): off, to be resumed from hibernation; else INVALID_PARAMETERS."""
    if kind not in HIBERNATE_OFF or cookie:
        return PsciError.INVALID_PARAMETERS
    await system_off(el3)
    raise AssertionError("SYSTEM_OFF2 came back")


@symbol
async def psci_system_reset(el3: El3Context) -> int:
    """SYSTEM_RESET (DEN 0022): cold reset; does not return."""
    await system_reset(el3, warm=False)
    raise AssertionError("SYSTEM_RESET came back")


@symbol
async def psci_system_reset2(el3: El3Context, kind: int, cookie: int) -> int:
    """SYSTEM_RESET2 (DEN 0022): warm reset, the only type there is; else INVALID_PARAMETERS.

    It keeps RAM, so it takes MEM_PROTECT back. The cookie belongs to vendors' types.
    """
    if kind != WARM_RESET:
        return PsciError.INVALID_PARAMETERS
    await el3.store(el3.memory.globals.mem_protect, 0)
    await system_reset(el3, warm=True)
    raise AssertionError("SYSTEM_RESET2 came back")
