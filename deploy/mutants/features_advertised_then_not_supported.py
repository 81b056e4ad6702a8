"""A host that cannot suspend says so with NOT_SUPPORTED, for a call that PSCI_FEATURES has."""

from msgspec.structs import replace

from proto.hypercall import ShutdownReason
from proto.ids import BOOT_CPU
from proto.patch import Mutant, relink_xen
from proto.platform import ConsoleDriver, Platform
from proto.psci import PsciError
from proto.scenario import DomainSpec, ExpectLine, Role, Scenario, Step, TypeLine
from proto.traces import SuspendPolicy
from services.pcpu.pe import Pe
from services.pcpu.xen.context import ResumeContext, store_resume_context
from services.pcpu.xen.domain import domain_shutdown
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.spinlock import spin_lock, spin_unlock
from services.pcpu.xen.suspend_policy import Policy, suspend_policy
from services.pcpu.xen.tasklet import tasklet_schedule_on_cpu

MUTANT = Mutant(
    id="features-advertised-then-not-supported",
    title="PSCI_FEATURES says that SYSTEM_SUSPEND is implemented, and the call says it is not",
    source="Oleksandr Tyshchenko on v9 12/13, 2026-05-17; changed in v10",
    section="A",
    confidence="high",
    property="vpsci",
    finding="PSCI_FEATURES told domain 0",
    scenario="v11",
    profile="v11",
    platform="dual",
)

ANSWERS = {Policy.PARKED: PsciError.SUCCESS, Policy.HOST: PsciError.SUCCESS}


@relink_xen
async def suspend_by_shutdown(pe: Pe, vcpu: Vcpu, resume: ResumeContext) -> int:
    """What the policy denies is answered with -EOPNOTSUPP's code."""
    lock = pe.xen.system.suspend_lock
    await spin_lock(pe, lock)
    verdict, why = await suspend_policy(pe, vcpu)
    pe.trace(SuspendPolicy(vcpu.domain, verdict.value, why))
    answer = ANSWERS.get(verdict, PsciError.NOT_SUPPORTED)
    if answer == PsciError.SUCCESS:
        await domain_shutdown(pe, vcpu.domain, ShutdownReason.SUSPEND)
    await spin_unlock(pe, lock)
    if answer == PsciError.SUCCESS:
        await store_resume_context(pe, vcpu, resume)
        await pe.store(pe.xen.domains[vcpu.domain].resume_vcpu, vcpu.index + 1)
    if verdict is Policy.HOST:
        await pe.store(pe.xen.suspend_tasklet.data, vcpu.index)
        await tasklet_schedule_on_cpu(pe, pe.xen.suspend_tasklet, BOOT_CPU)
    return answer


def change_platform(platform: Platform) -> Platform:
    """A serial port whose driver has no suspend callbacks."""
    return replace(platform, console=ConsoleDriver.PL011)


def change_scenario(scenario: Scenario) -> Scenario:
    """A guest that asks PSCI_FEATURES, then suspends."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE),),
        points=(),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(type_line=TypeLine(domain=0, line="cat /sys/power/state")),
            Step(expect=ExpectLine(domain=0, any_of=("freeze mem",))),
            Step(type_line=TypeLine(domain=0, line="echo mem > /sys/power/state")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",))),
        ),
    )
