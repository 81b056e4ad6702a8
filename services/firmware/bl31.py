"""Where a PE begins at EL3: the cold and the warm boot entry, and the SMC vector.

Source: TF-A bl31/bl31_main.c, lib/psci/psci_setup.c, lib/psci/psci_common.c
(`psci_warmboot_entrypoint`), bl31/aarch64/runtime_exceptions.S.
"""

from proto.cells import Cell
from proto.image import symbol
from proto.messages import ResetReason, Smc, SmcReturn
from proto.platform import XEN_TEXT
from proto.psci import Affinity
from proto.traces import AffinityState
from services.firmware.context import El3Context, Panic
from services.firmware.gicv2 import gicv2_cpuif_enable, gicv2_distif_init, gicv2_pcpu_distif_init
from services.firmware.memory import LocalState, PowerDomain
from services.firmware.psci_common import psci_get_aff_info_state
from services.firmware.psci_main import psci_smc_handler
from services.firmware.psci_mem_protect import psci_do_mem_protect
from services.firmware.psci_on import psci_cpu_on_finish
from services.firmware.psci_suspend import psci_cpu_suspend_finish
from services.firmware.spinlock import FREE


@symbol
async def bl31_entrypoint(el3: El3Context, reason: ResetReason) -> None:
    """The reset vector."""
    if reason is ResetReason.COLD:
        await bl31_main(el3)
    else:
        await psci_warmboot_entrypoint(el3, reason)


@symbol
async def bl31_main(el3: El3Context) -> None:
    """Cold boot of the boot PE, up to the hypervisor's entry."""
    await psci_do_mem_protect(el3)
    await psci_setup(el3)
    await gicv2_distif_init(el3)
    await gicv2_pcpu_distif_init(el3)
    await gicv2_cpuif_enable(el3)
    el3.eret(XEN_TEXT, 0)


@symbol
async def psci_setup(el3: El3Context) -> None:
    """Give every cell of secure SRAM its first value: the boot PE is ON, all others are OFF."""
    # MEM_PROTECT is left to the code that has to look at it first.
    values: dict[Cell, int] = dict.fromkeys(map(Cell, el3.memory.layout.names), 0)
    del values[el3.memory.globals.mem_protect]
    for cpu, data in enumerate(el3.memory.cpus):
        state = Affinity.ON if cpu == el3.cpu else Affinity.OFF
        el3.trace(AffinityState(cpu, state.name))
        values |= {
            data.cpu_lock: FREE,
            data.aff_info_state: state,
            data.local_state: LocalState.RUN,
        }
    for domain in el3.memory.domains:
        values |= _domain_values(el3, domain)
    values[el3.memory.globals.trusted_os_cpu] = el3.cpu
    await el3.store_burst(list(values), list(values.values()))


def _domain_values(el3: El3Context, domain: PowerDomain) -> dict[Cell, int]:
    """First values of a power domain: it runs if the boot PE lies in it."""
    values = dict.fromkeys((*domain.requested, domain.local_state), int(LocalState.OFF))
    values[domain.lock] = FREE
    if el3.cpu in el3.memory.members(domain):
        values |= {domain.requested[el3.cpu]: LocalState.RUN, domain.local_state: LocalState.RUN}
    return values


@symbol
async def psci_warmboot_entrypoint(el3: El3Context, reason: ResetReason) -> None:
    """Warm boot: make sure that this PE was really asked to start, then finish what started it."""
    state = await psci_get_aff_info_state(el3, el3.cpu)
    if state is not WARM_BOOT_STATES[reason]:
        raise Panic(f"unexpected affinity info state {state.name} at {reason.name} reset")
    if reason is ResetReason.POWER_ON_REQUEST:
        await psci_cpu_on_finish(el3)
    else:
        await psci_cpu_suspend_finish(el3)


WARM_BOOT_STATES: dict[ResetReason, Affinity] = {
    ResetReason.POWER_ON_REQUEST: Affinity.ON_PENDING,
    ResetReason.WAKE: Affinity.ON,
}
"""What a PE must find published of itself: CPU_ON made it ON_PENDING, suspend left it ON."""


@symbol
async def smc_handler64(el3: El3Context, smc: Smc) -> None:
    """The vector for an SMC from a lower level; x1-x3 go back as they came."""
    x0 = await psci_smc_handler(el3, smc.function, smc.args, smc.secure, smc.aarch32)
    el3.send(el3.pe, SmcReturn(smc.tx, (x0, *smc.args)))
