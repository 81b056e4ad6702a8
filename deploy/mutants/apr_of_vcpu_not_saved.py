"""GICH_APR is not saved when a vCPU is switched out while it handles an interrupt."""

from msgspec.structs import replace

from proto.messages import El1State
from proto.patch import Mutant, original, relink_xen
from proto.scenario import Scenario
from services.pcpu.pe import Pe
from services.pcpu.xen import context
from services.pcpu.xen.memory import Vcpu

MUTANT = Mutant(
    id="apr-of-vcpu-not-saved",
    title="A vCPU comes back with an active list register and no active priority",
    source="Xen b952c687fa (2013-04-04)",
    section="C",
    confidence="high",
    property="I4",
    finding="GICH_APR without it",
    scenario="one-domain",
    platform="uni",
)


@relink_xen
async def save_context(pe: Pe, vcpu: Vcpu, state: El1State, generation: int) -> None:
    """List registers and VMCR, but not GICH_APR."""
    await original(context.save_context)(pe, vcpu, replace(state, apr=0), generation)


def change_scenario(scenario: Scenario) -> Scenario:
    """Ticks as fast as they come: some vCPU is always inside a handler."""
    domains = tuple(replace(spec, tick_us=100) for spec in scenario.domains)
    return replace(scenario, domains=domains)
