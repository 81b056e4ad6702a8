"""SYSTEM_SUSPEND: start and finish on the same PE (TF-A psci_main.c and psci_suspend.c)."""

from proto.image import symbol
from proto.psci import Affinity, PsciError, error_name
from proto.traces import SystemSuspendDecision
from services.firmware.context import El3Context
from services.firmware.gicv2 import gicv2_cpuif_close, gicv2_cpuif_reopen
from services.firmware.memory import LocalState
from services.firmware.plat_pm import pwr_domain_suspend_finish, system_pwr_down_wfi
from services.firmware.psci_common import (
    is_valid_entry_point,
    psci_acquire_pwr_domain_locks,
    psci_affinity_states,
    psci_do_state_coordination,
    psci_enter_lower_el,
    psci_pwrdown_cpu,
    psci_release_pwr_domain_locks,
    psci_save_entry_point,
    psci_set_pwr_domains_to_run,
)
from services.firmware.psci_cpu_suspend import psci_awake


@symbol
async def psci_system_suspend(el3: El3Context, entry: int, context_id: int) -> int:
    """SYSTEM_SUSPEND (DEN 0022): sleep with DRAM retained, restart at `entry`.

    DENIED unless every other PE is OFF (without waiting), then INVALID_ADDRESS. SUCCESS is returned
    in place if an interrupt is pending for the caller. The caller itself stays ON throughout.
    """
    if injected := await el3.point("el3.SYSTEM_SUSPEND"):
        _decide(el3, error_name(injected), ())
        return injected
    affinity = await psci_affinity_states(el3)
    others = (state for cpu, state in enumerate(affinity) if cpu != el3.cpu)
    if any(state != Affinity.OFF for state in others):
        _decide(el3, "DENIED", affinity)
        return PsciError.DENIED
    if not is_valid_entry_point(el3.platform, entry):
        _decide(el3, "INVALID_ADDRESS", affinity)
        return PsciError.INVALID_ADDRESS
    return await psci_cpu_suspend_start(el3, affinity, entry, context_id)


@symbol
async def psci_cpu_suspend_start(
    el3: El3Context, affinity: tuple[Affinity, ...], entry: int, context_id: int
) -> int:
    """Power the system down from this PE; returns only if an interrupt is already pending."""
    await psci_acquire_pwr_domain_locks(el3)
    if await el3.sysreg("ISR_EL1"):
        _decide(el3, "PENDING", affinity)
        await psci_release_pwr_domain_locks(el3)
        return PsciError.SUCCESS
    # Nothing below refuses.
    _decide(el3, "SUSPEND", affinity)
    await psci_save_entry_point(el3, el3.cpu, entry, context_id)
    await psci_do_state_coordination(el3)
    await psci_pwrdown_cpu(el3)
    interface = await gicv2_cpuif_close(el3)
    await psci_release_pwr_domain_locks(el3)
    await system_pwr_down_wfi(el3)
    await psci_system_suspend_undo(el3, interface)
    return PsciError.SUCCESS


@symbol
async def psci_system_suspend_undo(el3: El3Context, interface: int) -> None:
    """The power-down was given up: everything is as it was before the call."""
    await psci_acquire_pwr_domain_locks(el3)
    await gicv2_cpuif_reopen(el3, interface)
    await psci_set_pwr_domains_to_run(el3)
    await psci_release_pwr_domain_locks(el3)


@symbol
async def psci_cpu_suspend_finish(el3: El3Context) -> None:
    """Warm boot after a sleep, up to the entry that the call was given."""
    await psci_acquire_pwr_domain_locks(el3)
    system_slept = await el3.load(el3.memory.system.local_state) == LocalState.OFF
    await pwr_domain_suspend_finish(el3, system_slept)
    await psci_awake(el3, slept=True)
    await psci_release_pwr_domain_locks(el3)
    await psci_enter_lower_el(el3)


def _decide(el3: El3Context, result: str, affinity: tuple[Affinity, ...]) -> None:
    """Record the decision in the turn in which it falls."""
    names = tuple(state.name for state in affinity)
    el3.trace(SystemSuspendDecision(el3.cpu, result, names))
