"""CPU_OFF (TF-A lib/psci/psci_off.c)."""

from proto.image import symbol
from proto.psci import Affinity, PsciError
from services.firmware.context import El3Context
from services.firmware.plat_pm import pwr_domain_off, pwr_domain_pwr_down_wfi
from services.firmware.psci_common import (
    psci_acquire_pwr_domain_locks,
    psci_do_state_coordination,
    psci_pwrdown_cpu,
    psci_release_pwr_domain_locks,
    psci_set_aff_info_state,
)
from services.firmware.psci_migrate import psci_trusted_os_resident


@symbol
async def psci_cpu_off(el3: El3Context) -> int:
    """CPU_OFF (DEN 0022): power this PE down. Returns only to refuse: DENIED, still ON."""
    if await el3.point(f"el3.CPU_OFF pe{el3.cpu}"):
        return PsciError.DENIED
    if await psci_trusted_os_resident(el3):
        return PsciError.DENIED
    # Nothing below refuses.
    await psci_do_cpu_off(el3)
    await pwr_domain_pwr_down_wfi(el3)
    raise AssertionError("CPU_OFF came back from its last WFI")


@symbol
async def psci_do_cpu_off(el3: El3Context) -> None:
    """The power-down work, and OFF published as almost the last thing this PE does.

    OFF promises that this PE touches nothing any more, so a CPU_ON or SYSTEM_SUSPEND of another PE
    that comes earlier still finds ON.
    """
    await psci_pwrdown_cpu(el3)
    await psci_acquire_pwr_domain_locks(el3)
    level = await psci_do_state_coordination(el3)
    await pwr_domain_off(el3, level)
    await psci_release_pwr_domain_locks(el3)
    await psci_set_aff_info_state(el3, el3.cpu, Affinity.OFF)
    await el3.point(f"el3.after_CPU_OFF pe{el3.cpu}")
