"""The flag of a dying CPU is still inside it when its power is cut."""

from proto.patch import Mutant, relink_firmware, relink_xen
from services.firmware.context import El3Context
from services.pcpu.pe import Pe
from services.pcpu.xen.psci import call_psci_cpu_off

MUTANT = Mutant(
    id="dead-flag-lost-with-power",
    title="stop_cpu leaves the barrier to firmware, firmware leaves it to stop_cpu",
    source="Xen, smpboot.c, stop_cpu (dsb); TF-A, psci_power_down_wfi (ensure write buffer empty)",
    section="B",
    confidence="medium",
    property="I6",
    finding="never came back to active",
    platform="dual-weak",
)


@relink_xen
async def stop_cpu(pe: Pe) -> None:
    """Without its dsb."""
    await pe.irq_disable()
    await pe.store(pe.xen.system.cpu_is_dead, 1)
    await call_psci_cpu_off(pe)


@relink_firmware
async def psci_pwrdown_cpu(el3: El3Context) -> None:
    """Hardware keeps the caches coherent, so there is nothing to clean, and no dsb behind it."""
    await el3.delay_range(el3.platform.latencies.cache_flush)
