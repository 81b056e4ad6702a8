"""domain_resume does not wait for the vCPU that is still inside its SYSTEM_SUSPEND."""

from msgspec.structs import replace

from proto.ids import DomainId
from proto.messages import AtomicOp
from proto.patch import Mutant, relink_xen
from proto.scenario import ExpectLine, ExpectPoint, PointAction, Scenario, Step, TypeLine, XlCommand
from proto.traces import DomainShutdown
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import vcpu_unpause
from services.pcpu.xen.spinlock import spin_lock, spin_unlock

MUTANT = Mutant(
    id="resume-ctx-set-after-shutdown",
    title="A toolstack resumes a domain before its resume context is attached",
    source="Michal Orzel on the guest series v16 1/4, 2026-03-19, with Mykola Kvach's answer",
    section="A",
    confidence="high",
    property="I3",
    finding="continued behind the call",
    scenario="guest-last-vcpu",
    profile="v11",
    platform="dual",
)

POINT = "vpsci.SYSTEM_SUSPEND d1"


@relink_xen
async def domain_resume(pe: Pe, domain: DomainId) -> None:
    """Without the domain_pause that waits until no vCPU of it runs."""
    cells = pe.xen.domains[domain]
    await spin_lock(pe, cells.shutdown_lock)
    await pe.store_burst((cells.is_shutting_down, cells.is_shut_down), (0, 0))
    await pe.links["arch_domain_resume"](pe, domain)
    pe.trace(DomainShutdown(domain, "none"))
    await pe.store(cells.shutdown_code, 0)
    for vcpu in pe.xen.vcpus_of(domain):
        paused = pe.xen.vcpu[vcpu.index].paused_for_shutdown
        if await pe.atomic(AtomicOp.SWAP, paused, 0):
            await vcpu_unpause(pe, vcpu)
    await spin_unlock(pe, cells.shutdown_lock)


def change_scenario(scenario: Scenario) -> Scenario:
    """The toolstack is quick, and the PE that parks the domain is slow."""
    return replace(
        scenario,
        points=(PointAction(point=POINT, hold_us=20_000),),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(expect=ExpectLine(domain=1, any_of=("dom1: up",), since="start")),
            Step(type_line=TypeLine(domain=1, line="suspend-test vcpu 2")),
            Step(reached=ExpectPoint(point=POINT)),
            Step(xl=XlCommand(command="resume dom1", status=0)),
            Step(expect=ExpectLine(domain=1, any_of=("PM: suspend exit",), since="start")),
        ),
    )
