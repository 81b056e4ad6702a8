"""The reset at the resume entry belongs to waking up, and a vCPU that never blocked never wakes."""

from msgspec.structs import replace

from proto.patch import Mutant, original, relink_xen
from proto.psci import PsciError
from proto.scenario import PointAction, Scenario
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import VPF_BLOCKED
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.vpsci import domain_suspended as as_written

MUTANT = Mutant(
    id="pending-event-skips-vcpu-reset",
    title="A pending event lets the vCPU go on behind a SYSTEM_SUSPEND that was accepted",
    source='Julien Grall, "Re: [PATCH 11/16] xen/arm: Implement PSCI system suspend", March 2025',
    section="A",
    confidence="high",
    core=True,
    property="I3",
    finding="continued behind the call",
    scenario="guest-suspend",
    platform="dual",
)


@relink_xen
async def domain_suspended(pe: Pe, vcpu: Vcpu) -> int | None:
    """Only who has blocked will be resumed, and is given the resume context."""
    if not await pe.load(pe.xen.vcpu[vcpu.index].pause_flags) & VPF_BLOCKED:
        return PsciError.SUCCESS
    result: int | None = await original(as_written)(pe, vcpu)
    return result


def change_scenario(scenario: Scenario) -> Scenario:
    """The guest's serial port interrupts between the decision and the block."""
    early = PointAction(point="vpsci.SYSTEM_SUSPEND d1", irq="tty1", hold_us=100)
    return replace(scenario, points=(early,))
