"""CPU_ON: the start on the caller, the finish on the target (TF-A lib/psci/psci_on.c).

    caller                                  target
    lock the target
    refuse ALREADY_ON, ON_PENDING
    publish ON_PENDING, save the entry
    power on                    ------>     check: not OFF
    unlock                      ------>     lock and unlock itself
                                            publish ON, enter

The target's own lock is what keeps it from overtaking the call that powers it up.
"""

from proto.image import symbol
from proto.psci import Affinity, PsciError
from services.firmware.context import El3Context
from services.firmware.plat_pm import pwr_domain_on, pwr_domain_on_finish
from services.firmware.psci_common import (
    core_of,
    is_valid_entry_point,
    psci_acquire_pwr_domain_locks,
    psci_enter_lower_el,
    psci_get_aff_info_state,
    psci_release_pwr_domain_locks,
    psci_save_entry_point,
    psci_set_aff_info_state,
    psci_set_pwr_domains_to_run,
)
from services.firmware.psci_stat import psci_stats_leave
from services.firmware.spinlock import spin_lock, spin_unlock

REFUSALS: dict[Affinity, PsciError] = {
    Affinity.ON: PsciError.ALREADY_ON,
    Affinity.ON_PENDING: PsciError.ON_PENDING,
}
"""Answer to a CPU_ON of a PE that is not OFF (DEN 0022, CPU_ON, Return)."""


@symbol
async def psci_cpu_on(el3: El3Context, mpidr: int, entry: int, context_id: int) -> int:
    """CPU_ON (DEN 0022): bring a PE up at `entry` with `context_id` in x0.

    INVALID_PARAMETERS, then INVALID_ADDRESS, then DENIED for a PE that has to stay off (since
    PSCI 1.2), then what `psci_cpu_on_start` refuses.
    """
    target = core_of(el3.platform, mpidr)
    if target is None:
        return PsciError.INVALID_PARAMETERS
    if not is_valid_entry_point(el3.platform, entry):
        return PsciError.INVALID_ADDRESS
    if target in el3.platform.disabled:
        return PsciError.DENIED
    lock = el3.memory.cpus[target].cpu_lock
    await spin_lock(el3, lock)
    code = await psci_cpu_on_start(el3, target, entry, context_id)
    await spin_unlock(el3, lock)
    return code


@symbol
async def psci_cpu_on_start(el3: El3Context, target: int, entry: int, context_id: int) -> int:
    """Decide a CPU_ON and power the target up; the caller holds the target's lock.

    ALREADY_ON or ON_PENDING if another call won; INTERNAL_FAILURE if the platform gives no power,
    and the target is OFF again.
    """
    state = await psci_get_aff_info_state(el3, target)
    if refusal := REFUSALS.get(state):
        return refusal
    # Before the power: the woken PE must not find itself OFF. The entry is the winner's alone.
    await psci_set_aff_info_state(el3, target, Affinity.ON_PENDING)
    await psci_save_entry_point(el3, target, entry, context_id)
    # What the caller has prepared for the target is visible too (flush_cpu_data_by_index).
    await el3.flush()
    if await pwr_domain_on(el3, target):
        await psci_set_aff_info_state(el3, target, Affinity.OFF)
        return PsciError.INTERNAL_FAILURE
    return PsciError.SUCCESS


@symbol
async def psci_cpu_on_finish(el3: El3Context) -> None:
    """The woken PE's half of CPU_ON, up to its entry into the Non-secure world."""
    lock = el3.memory.cpus[el3.cpu].cpu_lock
    await spin_lock(el3, lock)
    await spin_unlock(el3, lock)
    await el3.point(f"el3.warm_boot pe{el3.cpu}")
    await psci_acquire_pwr_domain_locks(el3)
    await pwr_domain_on_finish(el3)
    await psci_stats_leave(el3, slept=True)
    await psci_set_pwr_domains_to_run(el3)
    await psci_release_pwr_domain_locks(el3)
    await psci_set_aff_info_state(el3, el3.cpu, Affinity.ON)
    await psci_enter_lower_el(el3)
