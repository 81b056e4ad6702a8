"""The poll for OFF gives up while the core is still dying, and nobody looks at its result."""

from msgspec.structs import replace

from proto.ids import CpuIndex
from proto.patch import Mutant, relink_xen
from proto.platform import Platform
from proto.scenario import PointAction, Scenario
from services.pcpu.pe import Pe
from services.pcpu.xen.psci import psci_cpu_is_off

MUTANT = Mutant(
    id="cpu-kill-without-affinity-poll",
    title="AFFINITY_INFO is polled too briefly, and the caller goes on as if the CPU were off",
    source="Linux bfcef4ab1d7e (2019), arch/arm64/kernel/psci.c, cpu_psci_cpu_kill",
    section="B",
    confidence="high",
    core=True,
    property="I1",
    finding="had published no OFF for it yet",
    scenario="one-domain",
)


@relink_xen
async def cpu_kill(pe: Pe, cpu: CpuIndex) -> int:
    """Three looks with nothing in between; what comes of them is not looked at."""
    for _ in range(3):
        if await psci_cpu_is_off(pe, cpu):
            break
    return 0


def change_platform(platform: Platform) -> Platform:
    """Cores whose caches take long to clean."""
    return replace(platform, latencies=replace(platform.latencies, cache_flush=(5_000, 400_000)))


def change_scenario(scenario: Scenario) -> Scenario:
    """The boot CPU has an interrupt to serve when stop_machine lets go of it."""
    busy = PointAction(point="CPU_DYING pe1", irq="uart")
    return replace(scenario, points=(*scenario.points, busy))
