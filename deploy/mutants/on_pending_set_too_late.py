"""CPU_ON powers the target up first and publishes ON_PENDING afterwards."""

from proto.patch import Mutant, relink_firmware
from proto.psci import Affinity, PsciError
from services.firmware.context import El3Context
from services.firmware.plat_pm import pwr_domain_on
from services.firmware.psci_common import (
    psci_get_aff_info_state,
    psci_save_entry_point,
    psci_set_aff_info_state,
)
from services.firmware.psci_on import REFUSALS

MUTANT = Mutant(
    id="on-pending-set-too-late",
    title="The woken core reads a state other than ON_PENDING",
    source="TF-A 42cae5a16, pull request #301 (2015)",
    section="B",
    confidence="high",
    core=True,
    property="psci_state",
    finding="when power was asked for it",
    scenario="one-domain",
)


@relink_firmware
async def psci_cpu_on_start(el3: El3Context, target: int, entry: int, context_id: int) -> int:
    """Power, then state: as it was before the fix."""
    state = await psci_get_aff_info_state(el3, target)
    if refusal := REFUSALS.get(state):
        return refusal
    await psci_save_entry_point(el3, target, entry, context_id)
    if await pwr_domain_on(el3, target):
        return PsciError.INTERNAL_FAILURE
    await psci_set_aff_info_state(el3, target, Affinity.ON_PENDING)
    return PsciError.SUCCESS
