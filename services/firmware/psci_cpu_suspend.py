"""CPU_SUSPEND and CPU_DEFAULT_SUSPEND (TF-A lib/psci/psci_main.c and psci_suspend.c).

A PE in standby waits at EL3 with its power on. A PE that is powered down comes back through the
warm boot entry, or in place if an interrupt comes before the cut.
"""

from proto.image import symbol
from proto.psci import PsciError, SuspendMode
from services.firmware.context import El3Context
from services.firmware.gicv2 import gicv2_cpuif_close, gicv2_cpuif_reopen
from services.firmware.memory import LocalState
from services.firmware.plat_pm import cpu_wfi
from services.firmware.psci_common import (
    is_valid_entry_point,
    psci_acquire_pwr_domain_locks,
    psci_do_state_coordination,
    psci_pwrdown_cpu,
    psci_release_pwr_domain_locks,
    psci_save_entry_point,
    psci_set_pwr_domains_to_run,
)
from services.firmware.psci_os_initiated import psci_validate_state_coordination
from services.firmware.psci_power_state import States, default_states, local_states
from services.firmware.psci_stat import psci_stats_enter, psci_stats_leave


@symbol
async def psci_cpu_suspend(el3: El3Context, power_state: int, entry: int, context_id: int) -> int:
    """CPU_SUSPEND (DEN 0022): SUCCESS after standby or if an interrupt is pending already.

    INVALID_PARAMETERS, then INVALID_ADDRESS for a power-down only; what OS-initiated mode refuses.
    """
    states = local_states(el3.platform, power_state)
    if states is None:
        return PsciError.INVALID_PARAMETERS
    if states[0] is LocalState.OFF and not is_valid_entry_point(el3.platform, entry):
        return PsciError.INVALID_ADDRESS
    await el3.store(el3.memory.globals.cpu_suspend_called, 1)
    return await psci_suspend_to(el3, states, entry, context_id)


@symbol
async def psci_cpu_default_suspend(el3: El3Context, entry: int, context_id: int) -> int:
    """CPU_DEFAULT_SUSPEND (DEN 0022): as CPU_SUSPEND, to a state that the platform chooses.

    INVALID_ADDRESS for any bad entry: a caller does not know whether the state is a power-down.
    """
    if not is_valid_entry_point(el3.platform, entry):
        return PsciError.INVALID_ADDRESS
    return await psci_suspend_to(el3, default_states(el3.platform), entry, context_id)


@symbol
async def psci_suspend_to(el3: El3Context, states: States, entry: int, context_id: int) -> int:
    """Put this PE to sleep, and as much above it as the mode of coordination gives."""
    await psci_acquire_pwr_domain_locks(el3)
    if await el3.sysreg("ISR_EL1"):
        await psci_release_pwr_domain_locks(el3)
        return PsciError.SUCCESS
    if refusal := await psci_coordinate(el3, states):
        await psci_release_pwr_domain_locks(el3)
        return refusal
    # Nothing below refuses.
    if states[0] is LocalState.OFF:
        await psci_save_entry_point(el3, el3.cpu, entry, context_id)
        return await psci_power_down_and_wait(el3)
    await psci_release_pwr_domain_locks(el3)
    await cpu_wfi(el3, power_down=False)
    await psci_acquire_pwr_domain_locks(el3)
    await psci_awake(el3, slept=True)
    await psci_release_pwr_domain_locks(el3)
    return PsciError.SUCCESS


@symbol
async def psci_coordinate(el3: El3Context, states: States) -> PsciError:
    """Settle what this PE and the domains above it do, or refuse; the caller holds their locks."""
    os_initiated = await el3.load(el3.memory.globals.suspend_mode) == SuspendMode.OS_INITIATED
    if os_initiated:
        if refusal := await psci_validate_state_coordination(el3, states):
            return refusal
        level = await psci_set_os_states(el3, states)
    else:
        level = await psci_do_state_coordination(el3, states[1:])
    await el3.store(el3.memory.cpus[el3.cpu].local_state, states[0])
    await psci_stats_enter(el3, level)
    return PsciError.SUCCESS


@symbol
async def psci_set_os_states(el3: El3Context, states: States) -> int:
    """Put every domain into the state that the caller named; gives the highest that sleeps."""
    level = sum(state is not LocalState.RUN for state in states) - 1
    parents = el3.memory.parents(el3.cpu)
    requests = [domain.requested[el3.cpu] for domain in parents]
    local = [domain.local_state for domain in parents[:level]]
    await el3.store_burst([*requests, *local], [*states[1:], *states[1 : level + 1]])
    return level


@symbol
async def psci_power_down_and_wait(el3: El3Context) -> int:
    """The way to the last WFI, and back if the power-down was given up."""
    await psci_pwrdown_cpu(el3)
    interface = await gicv2_cpuif_close(el3)
    await psci_release_pwr_domain_locks(el3)
    await cpu_wfi(el3, power_down=True)
    await psci_acquire_pwr_domain_locks(el3)
    await gicv2_cpuif_reopen(el3, interface)
    await psci_awake(el3, slept=False)
    await psci_release_pwr_domain_locks(el3)
    return PsciError.SUCCESS


@symbol
async def psci_awake(el3: El3Context, slept: bool) -> None:
    """This PE and everything above it run again; the caller holds the domains' locks."""
    await psci_stats_leave(el3, slept)
    await el3.store(el3.memory.cpus[el3.cpu].local_state, LocalState.RUN)
    await psci_set_pwr_domains_to_run(el3)
