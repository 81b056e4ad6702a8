"""A secondary takes any hand-over that it finds, also one that is meant for another CPU."""

from msgspec.structs import replace

from proto.ids import CpuIndex
from proto.patch import Mutant, relink_xen
from proto.platform import Platform
from proto.scenario import PointAction, Scenario
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import pa
from services.pcpu.xen.setup import start_secondary
from services.pcpu.xen.smpboot import NO_CPU

MUTANT = Mutant(
    id="late-secondary-reuses-init-data",
    title="A CPU that was given up comes up later as the next one, with its number and stack",
    source="Xen, xen/arch/arm/smpboot.c, comment in __cpu_up",
    section="B",
    confidence="high",
    property="I7",
    finding="was put online by pe1",
    scenario="one-domain",
)


@relink_xen
async def init_secondary(pe: Pe, context_id: int) -> None:
    """Waits until there is a hand-over, and does not ask whose."""
    system = pe.xen.system
    while (cpu := await pe.load(pa(system.init_data_cpuid))) == NO_CPU:
        await pe.wfe(pa(system.init_data_cpuid), cpu)
    stack, ttbr = await pe.load_burst((pa(system.init_data_stack), pa(system.init_ttbr)))
    pe.set_register("SP_EL2", stack)
    await pe.enable_mmu(ttbr)
    await start_secondary(pe, CpuIndex(cpu))


def change_platform(platform: Platform) -> Platform:
    """Three PEs."""
    return replace(platform, clusters=(3,))


def change_scenario(scenario: Scenario) -> Scenario:
    """CPU1 takes a little longer than the second that __cpu_up waits."""
    slow = PointAction(point="el3.warm_boot pe1", occurrence=2, hold_us=1_000_000)
    return replace(scenario, points=(*scenario.points, slow))
