"""CPU_FREEZE: OFF to everybody, but with its power on. TF-A leaves this optional function out."""

from proto.image import symbol
from proto.psci import PsciError
from services.firmware.context import El3Context
from services.firmware.plat_pm import cpu_freeze_wfi
from services.firmware.psci_migrate import psci_trusted_os_resident
from services.firmware.psci_off import psci_do_cpu_off


@symbol
async def psci_cpu_freeze(el3: El3Context) -> int:
    """CPU_FREEZE (DEN 0022): wait for CPU_ON; interrupts do not end it. Returns only to refuse."""
    if await psci_trusted_os_resident(el3):
        return PsciError.DENIED
    await psci_do_cpu_off(el3)
    await cpu_freeze_wfi(el3)
    raise AssertionError("CPU_FREEZE came back from its WFI")
