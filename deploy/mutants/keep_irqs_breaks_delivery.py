"""PPIs are neither released nor requested for a suspend, so a secondary comes back deaf."""

from msgspec.structs import replace

from proto.gic import GICD
from proto.ids import CpuIndex
from proto.patch import Mutant, relink_xen
from proto.scenario import Scenario, Step
from services.pcpu.pe import Pe
from services.pcpu.xen.gic import GICD_VA
from services.pcpu.xen.gic_v2 import XEN_PPIS
from services.pcpu.xen.state import SystemState

MUTANT = Mutant(
    id="keep-irqs-breaks-delivery",
    title="PPIs stay registered over suspend, and nobody enables them on the CPU that comes back",
    source="Mykola Kvach on [PATCH 04/16] xen/cpu: prevent disable_nonboot_cpus crash (March 2025)",
    section="B",
    confidence="med",
    property="I4",
    finding="CPU1: GICD_ISENABLER",
    scenario="one-domain",
)


def change_scenario(scenario: Scenario) -> Scenario:
    """The CPU has the time that it may take to set itself up."""
    domains = tuple(replace(spec, tick_us=100_000) for spec in scenario.domains)
    return replace(scenario, domains=domains, steps=(*scenario.steps, Step(wait_ms=1_200)))


@relink_xen
async def release_ppis(pe: Pe, cpu: CpuIndex) -> int:
    """Nothing is released: the CPU is meant to come back."""
    return 0


@relink_xen
async def init_ppis(pe: Pe, cpu: CpuIndex) -> int:
    """After boot they are registered still; that the GIC has forgotten them is not thought of."""
    if await pe.load(pe.xen.system.system_state) != SystemState.BOOT:
        return 0
    enable = sum(1 << intid for intid in XEN_PPIS)
    await pe.write(GICD_VA + GICD.ISENABLER.offset, enable)
    return 0
