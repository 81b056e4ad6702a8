"""The check whether another control domain is awake, and the shutdown, are no critical section."""

from msgspec.structs import replace

from proto.hypercall import ShutdownReason
from proto.ids import BOOT_CPU
from proto.patch import Mutant, relink_xen
from proto.psci import PsciError
from proto.scenario import DomainSpec, ExpectLine, Role, Scenario, Step, TypeLine
from proto.traces import SuspendPolicy
from services.pcpu.pe import Pe
from services.pcpu.xen.context import ResumeContext, store_resume_context
from services.pcpu.xen.domain import domain_shutdown
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.suspend_policy import Policy, suspend_policy
from services.pcpu.xen.tasklet import tasklet_schedule_on_cpu

MUTANT = Mutant(
    id="two-control-domains-race",
    title="Two control domains each think that the other is awake; both park, and nobody suspends",
    source="Suspend to RAM series v11, 12/13 (what its suspend lock is for), 2026-06-10",
    section="A",
    confidence="high",
    core=True,
    property="progress",
    finding="every control domain sleeps",
    scenario="two-control-domains",
    profile="v11",
    platform="dual",
)


@relink_xen
async def suspend_by_shutdown(pe: Pe, vcpu: Vcpu, resume: ResumeContext) -> int:
    """Without the suspend lock."""
    verdict, why = await suspend_policy(pe, vcpu)
    pe.trace(SuspendPolicy(vcpu.domain, verdict.value, why))
    if verdict is Policy.DENIED:
        return PsciError.DENIED
    await domain_shutdown(pe, vcpu.domain, ShutdownReason.SUSPEND)
    await store_resume_context(pe, vcpu, resume)
    await pe.store(pe.xen.domains[vcpu.domain].resume_vcpu, vcpu.index + 1)
    if verdict is Policy.HOST:
        await pe.store(pe.xen.suspend_tasklet.data, vcpu.index)
        await tasklet_schedule_on_cpu(pe, pe.xen.suspend_tasklet, BOOT_CPU)
    return PsciError.SUCCESS


def change_scenario(scenario: Scenario) -> Scenario:
    """Slow ticks, so that a board on which nothing happens costs nothing."""
    first = DomainSpec(id=0, role=Role.HARDWARE, tick_us=1_000_000)
    second = DomainSpec(id=1, control=True, tick_us=1_000_000)
    line = "echo mem > /sys/power/state"
    return replace(
        scenario,
        domains=(first, second),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(expect=ExpectLine(domain=1, any_of=("dom1: up",), since="start")),
            Step(type_line=TypeLine(domain=1, line=line)),
            Step(type_line=TypeLine(domain=0, line=line)),
            Step(alarm_ms=100),
            Step(expect=ExpectLine(any_of=("Resume",), since="start", within_ms=8_000)),
        ),
    )
