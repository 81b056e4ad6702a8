"""time_resume does nothing, and a timer programs the hardware only when it is the first to come."""

from msgspec.structs import replace

from proto.ids import CpuIndex
from proto.patch import Mutant, relink_xen
from proto.scenario import DomainSpec, ExpectLine, Role, Scenario, Step, TypeLine
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import TimerCells
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq
from services.pcpu.xen.timer import INACTIVE, TIMER_CPU_KILLED, timer_cells

MUTANT = Mutant(
    id="timer-not-rearmed",
    title="No timer of CPU0 expires after the resume: one that is overdue stands in front of them",
    source="Xen 757abedabb (2025-08-13, x86)",
    section="D",
    confidence="high",
    core=True,
    property="scenario",
    finding="expected 'PM: suspend exit'",
    platform="uni",
)


@relink_xen
async def time_resume(pe: Pe) -> None:
    """Neither the comparator is written nor a softirq raised."""


@relink_xen
async def set_timer(pe: Pe, timer: TimerCells, expires_ns: int) -> None:
    """As Xen's: only a timer that has become the first of its CPU's heap raises TIMER_SOFTIRQ."""
    await pe.store(timer.expires, expires_ns)
    await pe.smp_mb()
    values = await pe.load_burst((*timer_cells(pe), timer.cpu))
    cpu = values[-1]
    pairs = zip(values[:-1:2], values[1:-1:2], strict=True)
    heap = [deadline for deadline, owner in pairs if owner == cpu and deadline != INACTIVE]
    if cpu != TIMER_CPU_KILLED and expires_ns == min(heap, default=INACTIVE):
        await cpu_raise_softirq(pe, CpuIndex(cpu), Softirq.TIMER)


def change_scenario(scenario: Scenario) -> Scenario:
    """One CPU, a guest that never lets go of it, and one that sleeps when its tick is overdue."""
    hardware = DomainSpec(id=0, vcpus=2, role=Role.HARDWARE)
    return replace(
        scenario,
        domains=(hardware, DomainSpec(id=1, program="ignorant"), DomainSpec(id=2, tick_us=50_000)),
        points=(),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(expect=ExpectLine(domain=2, any_of=("dom2: up",), since="start")),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 0.1")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",), within_ms=2_000)),
        ),
    )
