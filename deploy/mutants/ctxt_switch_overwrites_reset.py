"""The resume context goes into the vCPU's saved state at once, while the vCPU is still loaded."""

from proto.patch import Mutant, relink_xen
from services.pcpu.pe import Pe
from services.pcpu.xen.context import apply_reset
from services.pcpu.xen.memory import Vcpu

MUTANT = Mutant(
    id="ctxt-switch-overwrites-reset",
    title="What was prepared for the resume is replaced by what ctxt_switch_from saves",
    source='"[PATCH 01/19] xen/arm: Implement PSCI system suspend", 2022-10-07; Julien Grall on '
    "the guest series v5 1/4, 2025-06-28",
    section="A",
    confidence="high",
    core=True,
    property="I3",
    finding="continued behind the call",
    scenario="guest-suspend",
    platform="dual",
)


@relink_xen
async def request_reset(pe: Pe, vcpu: Vcpu) -> None:
    """The context is written where the next switch will load it from."""
    await apply_reset(pe, vcpu)
