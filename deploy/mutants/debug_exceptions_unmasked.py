"""The guest's initial PSTATE masks SError, IRQ and FIQ, and leaves debug exceptions on."""

from msgspec.structs import replace

from proto.messages import El1State
from proto.patch import Mutant, original, relink_xen
from services.pcpu.pe import Pe
from services.pcpu.xen.context import reset_vcpu_state as as_written
from services.pcpu.xen.memory import Vcpu

MUTANT = Mutant(
    id="debug-exceptions-unmasked",
    title="A guest is entered with PSTATE.D clear",
    source="Xen ad8663a75a (2026-06-19)",
    section="A",
    confidence="high",
    property="I3",
    finding="PSTATE 0x1c5 instead of 0x3c5",
    scenario="guest-suspend",
    platform="dual",
)

PSR_GUEST64_INIT = 0x1C5


@relink_xen
async def reset_vcpu_state(
    pe: Pe, vcpu: Vcpu, state: El1State, entry: int, context_id: int
) -> El1State:
    """PSR_GUEST64_INIT as it was: PSR_ABT_MASK, PSR_FIQ_MASK, PSR_IRQ_MASK, PSR_MODE_EL1h."""
    fresh: El1State = await original(as_written)(pe, vcpu, state, entry, context_id)
    return replace(fresh, pstate=PSR_GUEST64_INIT)
