"""The platform's power hooks: how PSCI's decisions reach the power controller.

Source: TF-A `plat_psci_ops_t` (include/lib/psci/psci.h), plat/arm/board/fvp/fvp_pm.c.
"""

from proto.ids import SCP
from proto.image import symbol
from proto.machine import Halt
from proto.messages import (
    CpuFreeze,
    CpuSleep,
    PowerOff,
    PowerOn,
    SystemPowerOff,
    SystemReset,
    SystemSleep,
)
from services.firmware.context import FINAL_WFI, El3Context
from services.firmware.gicv2 import (
    gicv2_cpuif_disable,
    gicv2_cpuif_enable,
    gicv2_distif_init,
    gicv2_pcpu_distif_init,
)
from services.firmware.psci_common import LEVEL_CLUSTER


@symbol
async def pwr_domain_on(el3: El3Context, target: int) -> int:
    """Ask for power for a PE; non-zero if the platform cannot give it."""
    if answer := await el3.point(f"el3.CPU_ON pe{target}"):
        return answer
    refused: int = await el3.transact(SCP, lambda tx: PowerOn(tx, target))
    return refused


@symbol
async def pwr_domain_on_finish(el3: El3Context) -> None:
    """Set up what a PE lost that CPU_ON has brought up."""
    await gicv2_pcpu_distif_init(el3)
    await gicv2_cpuif_enable(el3)


@symbol
async def pwr_domain_off(el3: El3Context, level: int) -> None:
    """Prepare this PE, and everything up to `level`, for the loss of power."""
    await gicv2_cpuif_disable(el3)
    if level >= LEVEL_CLUSTER:
        # The cluster's last PE also cleans the shared cache and leaves coherency.
        await el3.delay_range(el3.platform.latencies.power_down)


@symbol
async def pwr_domain_suspend_finish(el3: El3Context, system_slept: bool) -> None:
    """Set up what a PE lost; after SYSTEM_SUSPEND that may be the Secure side of the whole GIC."""
    if system_slept:
        await gicv2_distif_init(el3)
    await gicv2_pcpu_distif_init(el3)
    await gicv2_cpuif_enable(el3)


@symbol
async def pwr_domain_pwr_down_wfi(el3: El3Context) -> None:
    """The last instruction of CPU_OFF: WFI with power-off requested. Does not return."""
    el3.send(SCP, PowerOff(el3.cpu))
    raise Halt(FINAL_WFI)


@symbol
async def cpu_wfi(el3: El3Context, power_down: bool) -> None:
    """The WFI of CPU_SUSPEND. After a power-down it returns only if that was given up."""
    await el3.wait_for_power(lambda tx: CpuSleep(tx, el3.cpu, power_down))


@symbol
async def cpu_freeze_wfi(el3: El3Context) -> None:
    """The WFI of CPU_FREEZE, with no wake-up enabled. Does not return."""
    el3.send(SCP, CpuFreeze(el3.cpu))
    raise Halt(FINAL_WFI)


@symbol
async def system_pwr_down_wfi(el3: El3Context) -> None:
    """The last instruction of SYSTEM_SUSPEND: program the wake mask, WFI.

    Returns only if the platform gives a power-down up for an interrupt that comes before the cut.
    """
    mask = el3.platform.wake_sources if el3.platform.wake_wires else ()
    await el3.wait_for_power(lambda tx: SystemSleep(el3.cpu, mask, tx))


@symbol
async def system_off(el3: El3Context) -> None:
    """Switch everything off. Does not return."""
    el3.send(SCP, SystemPowerOff())
    raise Halt(FINAL_WFI)


@symbol
async def system_reset(el3: El3Context, warm: bool) -> None:
    """Reset everything but RAM and secure SRAM, and boot again. Does not return."""
    el3.send(SCP, SystemReset(warm))
    raise Halt(FINAL_WFI)
