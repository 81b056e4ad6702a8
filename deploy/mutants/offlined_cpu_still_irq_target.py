"""A vCPU moves off the CPU that goes, and its interrupts do not follow."""

from msgspec.structs import replace

from proto.ids import CpuIndex
from proto.patch import Mutant, relink_xen
from proto.scenario import DomainSpec, ExpectLine, Role, Scenario, Step, TypeLine
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import Vcpu

MUTANT = Mutant(
    id="offlined-cpu-still-irq-target",
    title="Interrupts of a vCPU that was moved still go to the CPU that is off",
    source="Xen efaa91afa2 (2018) and 0763cd2687 (2019); [PATCH v7 2/6] arm/irq (2026-03-30)",
    section="B",
    confidence="med",
    core=True,
    property="I7",
    finding="of which no CPU is online",
    scenario="one-domain",
)


@relink_xen
async def arch_move_irqs(pe: Pe, vcpu: Vcpu, cpu: CpuIndex) -> None:
    """Interrupts stay where they were routed."""
    return


def change_scenario(scenario: Scenario) -> Scenario:
    """Domain 1 lives on CPU1, which is unplugged."""
    host = DomainSpec(id=0, role=Role.HARDWARE, tick_us=100_000)
    domains = (host, DomainSpec(id=1, tick_us=100_000))
    steps = (
        Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
        Step(expect=ExpectLine(domain=1, any_of=("dom1: up",), since="start")),
        Step(type_line=TypeLine(domain=0, line="xen-hptool cpu-offline 1")),
        Step(expect=ExpectLine(domain=0, any_of=("cpu 1 offline: 0",))),
        Step(wait_ms=1_200),
    )
    return replace(scenario, domains=domains, steps=steps, outcomes=())
