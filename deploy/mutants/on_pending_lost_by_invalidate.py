"""OFF is written in two phases, and the second one undoes a CPU_ON that came between them."""

from msgspec.structs import replace

from proto.patch import Mutant, relink_firmware
from proto.platform import Platform
from proto.psci import Affinity
from proto.scenario import PointAction, Scenario
from services.firmware.context import El3Context
from services.firmware.plat_pm import pwr_domain_off
from services.firmware.psci_common import (
    psci_acquire_pwr_domain_locks,
    psci_do_state_coordination,
    psci_pwrdown_cpu,
    psci_release_pwr_domain_locks,
    psci_set_aff_info_state,
)

MUTANT = Mutant(
    id="on-pending-lost-by-invalidate",
    title="A dying core undoes the ON_PENDING that a CPU_ON has published for it",
    source="TF-A 203cdfe26, pull request #511 (2016)",
    section="B",
    confidence="high",
    property="no_panic",
    finding="unexpected affinity info state OFF",
    scenario="one-domain",
)


@relink_firmware
async def psci_do_cpu_off(el3: El3Context) -> None:
    """OFF is published, and then its cache line is cleaned once more, whoever has written to it."""
    await psci_pwrdown_cpu(el3)
    await psci_acquire_pwr_domain_locks(el3)
    level = await psci_do_state_coordination(el3)
    await pwr_domain_off(el3, level)
    await psci_release_pwr_domain_locks(el3)
    await psci_set_aff_info_state(el3, el3.cpu, Affinity.OFF)
    await el3.delay_range(el3.platform.latencies.cache_flush)
    await el3.store(el3.memory.cpus[el3.cpu].aff_info_state, Affinity.OFF)


def change_platform(platform: Platform) -> Platform:
    """Three PEs whose caches take long to clean."""
    slow = replace(platform.latencies, cache_flush=(100_000, 2_000_000))
    return replace(platform, clusters=(3,), latencies=slow)


def change_scenario(scenario: Scenario) -> Scenario:
    """CPU2 may not go down, so CPU1 is wanted back at once."""
    veto = PointAction(point="CPU_DOWN_PREPARE pe2", return_code=-12)
    steps = tuple(step for step in scenario.steps if step.power is None and step.irq is None)
    return replace(scenario, points=(*scenario.points, veto), steps=steps, outcomes=("aborted",))
