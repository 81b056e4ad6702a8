"""SYSTEM_OFF (TF-A lib/psci/psci_system_off.c)."""

from proto.image import symbol
from services.firmware.context import El3Context
from services.firmware.plat_pm import system_off


@symbol
async def psci_system_off(el3: El3Context) -> int:
    """SYSTEM_OFF (DEN 0022): does not return, whatever other PEs do."""
    await system_off(el3)
    raise AssertionError("SYSTEM_OFF came back")
