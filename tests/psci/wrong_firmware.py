"""Firmware with one wrong program each, and the shipped vector that finds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proto.image import Program
from proto.platform import LocalState
from proto.psci import MASK_32, Affinity, PsciError
from services.firmware.psci_common import (
    core_of,
    is_valid_entry_point,
    psci_affinity_states,
    psci_get_aff_info_state,
    psci_save_entry_point,
)
from services.firmware.psci_on import REFUSALS, psci_cpu_on_start
from services.firmware.psci_suspend import psci_cpu_suspend_start


@dataclass(frozen=True)
class Mutant:
    """Programs in the place of others; `case` is the shipped case that has to fail."""

    name: str
    relinked: Mapping[str, Program]
    case: str
    seeds: int = 1


async def state_before_entry(el3: Any, mpidr: int, entry: int, context_id: int) -> int:
    """CPU_ON looks at the state of the target before it looks at the entry."""
    target = core_of(el3.platform, mpidr)
    if target is None:
        return PsciError.INVALID_PARAMETERS
    if refusal := REFUSALS.get(await psci_get_aff_info_state(el3, target)):
        return refusal
    if not is_valid_entry_point(el3.platform, entry):
        return PsciError.INVALID_ADDRESS
    return await psci_cpu_on_start(el3, target, entry, context_id)


async def entry_before_mpidr(el3: Any, mpidr: int, entry: int, context_id: int) -> int:
    """CPU_ON looks at the entry before it looks at the target."""
    if not is_valid_entry_point(el3.platform, entry):
        return PsciError.INVALID_ADDRESS
    target = core_of(el3.platform, mpidr)
    if target is None:
        return PsciError.INVALID_PARAMETERS
    return await psci_cpu_on_start(el3, target, entry, context_id)


async def everybody_leaves_a_context(el3: Any, mpidr: int, entry: int, context_id: int) -> int:
    """A caller that loses overwrites what the winner has left for the target."""
    target = core_of(el3.platform, mpidr)
    if target is None:
        return PsciError.INVALID_PARAMETERS
    await psci_save_entry_point(el3, target, entry, context_id)
    return await psci_cpu_on_start(el3, target, entry, context_id)


async def short_context(el3: Any, cpu: int, entry: int, context_id: int) -> None:
    """The context loses its upper half."""
    data = el3.memory.cpus[cpu]
    await el3.store_burst((data.entry_point, data.context_id), (entry, context_id & MASK_32))


async def entry_before_denied(el3: Any, entry: int, context_id: int) -> int:
    """SYSTEM_SUSPEND looks at the entry before it looks at the other PEs."""
    if not is_valid_entry_point(el3.platform, entry):
        return PsciError.INVALID_ADDRESS
    affinity = await psci_affinity_states(el3)
    if sum(state is not Affinity.OFF for state in affinity) > 1:
        return PsciError.DENIED
    return await psci_cpu_suspend_start(el3, affinity, entry, context_id)


async def pending_is_off(el3: Any, entry: int, context_id: int) -> int:
    """SYSTEM_SUSPEND takes ON_PENDING for OFF."""
    affinity = await psci_affinity_states(el3)
    if sum(state is Affinity.ON for state in affinity) > 1:
        return PsciError.DENIED
    if not is_valid_entry_point(el3.platform, entry):
        return PsciError.INVALID_ADDRESS
    return await psci_cpu_suspend_start(el3, affinity, entry, context_id)


async def all_levels_are_on(el3: Any, mpidr: int, lowest_level: int) -> int:
    """AFFINITY_INFO answers for levels that do not exist."""
    target = core_of(el3.platform, mpidr)
    if target is None:
        return PsciError.INVALID_PARAMETERS
    return Affinity.ON if lowest_level else await psci_get_aff_info_state(el3, target)


async def forgets_what_was(el3: Any, enable: int) -> int:
    """MEM_PROTECT returns SUCCESS."""
    return PsciError.SUCCESS


async def any_mode(el3: Any, mode: int) -> int:
    """SET_SUSPEND_MODE takes everything."""
    return PsciError.SUCCESS


async def always_supported(el3: Any, function: int) -> int:
    """PSCI_FEATURES knows everything."""
    return PsciError.SUCCESS


async def nobody_is_asked(el3: Any, states: tuple[LocalState, ...]) -> PsciError:
    """OS-initiated mode does not look at the other PEs of a cluster."""
    return PsciError.SUCCESS


async def no_lock(el3: Any, lock: int) -> None:
    """Nothing is locked."""


MUTANTS = (
    Mutant(
        "state-before-entry",
        {"psci_cpu_on": state_before_entry},
        "cpu-on-checks-the-entry-before-the-state",
    ),
    Mutant(
        "entry-before-mpidr",
        {"psci_cpu_on": entry_before_mpidr},
        "cpu-on-checks-the-mpidr-first",
    ),
    Mutant(
        "everybody-leaves-a-context",
        {"psci_cpu_on": everybody_leaves_a_context},
        "cpu-on-pending-is-seen",
    ),
    Mutant("short-context", {"psci_save_entry_point": short_context}, "cpu-on-context-is-64-bits"),
    Mutant(
        "entry-before-denied",
        {"psci_system_suspend": entry_before_denied},
        "system-suspend-denied-comes-before-the-entry",
    ),
    Mutant(
        "pending-is-off",
        {"psci_system_suspend": pending_is_off},
        "system-suspend-with-another-pe-pending",
    ),
    Mutant(
        "all-levels-are-on",
        {"psci_affinity_info": all_levels_are_on},
        "affinity-info-level-too-high",
    ),
    Mutant(
        "mem-protect-forgets",
        {"psci_mem_protect": forgets_what_was},
        "mem-protect-returns-what-was",
    ),
    Mutant(
        "any-mode",
        {"psci_set_suspend_mode": any_mode},
        "suspend-mode-back-needs-the-others-off",
    ),
    Mutant(
        "always-supported", {"psci_features": always_supported}, "features-of-unknown-functions"
    ),
    Mutant(
        "nobody-is-asked",
        {"psci_validate_state_coordination": nobody_is_asked},
        "os-initiated-cluster-with-a-running-pe",
    ),
    Mutant(
        "no-lock",
        {"spin_lock": no_lock, "spin_unlock": no_lock},
        "cpu-on-one-winner-again-and-again",
        seeds=3,
    ),
)
