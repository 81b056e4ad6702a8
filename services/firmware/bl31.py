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
from services.firmware.psci_common import LocalState, psci_get_aff_info_state
from services.firmware.psci_main import psci_smc_handler
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
    await psci_setup(el3)
    await gicv2_distif_init(el3)
    await gicv2_pcpu_distif_init(el3)
    await gicv2_cpuif_enable(el3)
    el3.eret(XEN_TEXT, 0)


@symbol
async def psci_setup(el3: El3Context) -> None:
    """Give every cell of secure SRAM its first value: the boot PE is ON, all others are OFF."""
    values: dict[Cell, int] = {}
    for cpu, data in enumerate(el3.memory.cpus):
        state = Affinity.ON if cpu == el3.cpu else Affinity.OFF
        el3.trace(AffinityState(cpu, state.name))
        values |= {data.cpu_lock: FREE, data.aff_info_state: state}
        values |= {data.entry_point: 0, data.context_id: 0}
    for domain in (*el3.memory.clusters, el3.memory.system):
        runs = el3.cpu in el3.memory.members(domain)
        values |= dict.fromkeys(domain.requested, LocalState.OFF)
        values |= {domain.lock: FREE, domain.local_state: LocalState.OFF}
        if runs:
            values |= dict.fromkeys((domain.requested[el3.cpu], domain.local_state), LocalState.RUN)
    await el3.store_burst(list(values), list(values.values()))


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
    x0 = await psci_smc_handler(el3, smc.function, smc.args)
    el3.send(el3.pe, SmcReturn(smc.tx, (x0, *smc.args)))
