"""What several PSCI calls share: affinity states, entry points and the power-domain tree.

Source: TF-A lib/psci/psci_common.c; docs/design/psci-pd-tree.rst.
"""

from collections.abc import Sequence

from proto.image import symbol
from proto.platform import Platform
from proto.psci import MPIDR_MASK_64, Affinity
from proto.traces import AffinityState
from services.firmware.context import El3Context
from services.firmware.memory import LocalState
from services.firmware.spinlock import spin_lock, spin_unlock

LEVEL_CPU = 0
LEVEL_CLUSTER = 1


def core_of(platform: Platform, mpidr: int) -> int | None:
    """CPU index an MPIDR argument names; None if a must-be-zero bit is set or no PE matches."""
    if mpidr & ~MPIDR_MASK_64 or mpidr not in platform.mpidrs:
        return None
    return platform.mpidrs.index(mpidr)


def is_valid_entry_point(platform: Platform, entry: int) -> bool:
    """Whether a PE may enter the Non-secure world here (DEN 0022, CPU_ON, INVALID_ADDRESS).

    It has to be the address of an A64 instruction (a multiple of 4: bit 0 would ask for T32) in
    Non-secure RAM.
    """
    return entry % 4 == 0 and in_ram(platform, entry, 4)


def in_ram(platform: Platform, base: int, length: int) -> bool:
    """Whether a range that is not empty lies in Non-secure RAM; adjoining ranges are one."""
    end = base + length
    at = base
    for start, size in platform.non_secure_ram:
        if start <= at < start + size:
            at = start + size
    return length > 0 and at >= end


@symbol
async def psci_get_aff_info_state(el3: El3Context, cpu: int) -> Affinity:
    """The published AFFINITY_INFO state of a PE: one load, no lock."""
    return Affinity(await el3.load(el3.memory.cpus[cpu].aff_info_state))


@symbol
async def psci_affinity_states(el3: El3Context) -> tuple[Affinity, ...]:
    """The state of every PE by CPU index, one unlocked load each (TF-A `psci_is_last_on_cpu`)."""
    states = []
    for cpu in el3.platform.cpus:
        caller = cpu == el3.cpu
        states.append(Affinity.ON if caller else await psci_get_aff_info_state(el3, cpu))
    return tuple(states)


@symbol
async def psci_set_aff_info_state(el3: El3Context, cpu: int, state: Affinity) -> None:
    """Publish the AFFINITY_INFO state of a PE."""
    el3.trace(AffinityState(cpu, state.name))
    await el3.store(el3.memory.cpus[cpu].aff_info_state, state)


@symbol
async def psci_save_entry_point(el3: El3Context, cpu: int, entry: int, context_id: int) -> None:
    """Leave for the next warm boot of a PE where it goes and what it finds in x0."""
    data = el3.memory.cpus[cpu]
    await el3.store_burst((data.entry_point, data.context_id), (entry, context_id))


@symbol
async def psci_enter_lower_el(el3: El3Context) -> None:
    """Leave EL3 for the entry point saved for this PE (DEN 0022, "Initial core configuration")."""
    data = el3.memory.cpus[el3.cpu]
    entry, context_id = await el3.load_burst((data.entry_point, data.context_id))
    el3.eret(entry, context_id)


@symbol
async def psci_acquire_pwr_domain_locks(el3: El3Context) -> None:
    """Lock the power domains of this PE, from its cluster to the root."""
    for domain in el3.memory.parents(el3.cpu):
        await spin_lock(el3, domain.lock)


@symbol
async def psci_release_pwr_domain_locks(el3: El3Context) -> None:
    """Unlock the power domains of this PE, from the root to its cluster."""
    for domain in reversed(el3.memory.parents(el3.cpu)):
        await spin_unlock(el3, domain.lock)


@symbol
async def psci_do_state_coordination(
    el3: El3Context, states: Sequence[LocalState] | None = None
) -> int:
    """Request states, OFF if none are given, for every domain of this PE from its cluster upwards.

    Gives the highest level that then goes to sleep. A domain takes the shallowest state its PEs
    requested; one that has to run ends the climb. The caller holds the domains' locks.
    """
    parents = el3.memory.parents(el3.cpu)
    requests = [domain.requested[el3.cpu] for domain in parents]
    await el3.store_burst(requests, states or [LocalState.OFF] * len(requests))
    for level, domain in enumerate(parents, start=LEVEL_CLUSTER):
        members = el3.memory.members(domain)
        requested = await el3.load_burst([domain.requested[cpu] for cpu in members])
        state = min(requested)
        if state == LocalState.RUN:
            return level - 1
        await el3.store(domain.local_state, state)
    return len(parents)


@symbol
async def psci_set_pwr_domains_to_run(el3: El3Context) -> None:
    """Mark every domain of this PE as running; the caller holds their locks."""
    parents = el3.memory.parents(el3.cpu)
    cells = [cell for domain in parents for cell in (domain.requested[el3.cpu], domain.local_state)]
    await el3.store_burst(cells, [LocalState.RUN] * len(cells))


@symbol
async def psci_pwrdown_cpu(el3: El3Context) -> None:
    """Clean this PE's caches before its power may go (TF-A `psci_pwrdown_cpu_start`)."""
    await el3.delay_range(el3.platform.latencies.cache_flush)
    await el3.flush()
