"""A vCPU that is down counts as stopped, though it is still on its pCPU and will be saved there."""

from msgspec.structs import replace

from proto.el1 import reset_state
from proto.messages import AtomicOp
from proto.patch import Mutant, relink_xen
from proto.psci import PsciError
from proto.scenario import DomainSpec, ExpectLine, Role, Scenario, Step, TypeLine
from services.pcpu.pe import Pe
from services.pcpu.xen.context import store_context
from services.pcpu.xen.domain import VPF_DOWN, vcpu_wake
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.spinlock import spin_lock, spin_unlock
from services.pcpu.xen.timer import stop_vcpu_timer
from services.pcpu.xen.vgic import vgic_clear_pending
from services.pcpu.xen.vpsci import Args, entry_is_valid, vcpu_of_mpidr

MUTANT = Mutant(
    id="offline-flag-before-descheduled",
    title="CPU_ON writes the context of a vCPU that is still on its pCPU, which then saves over it",
    source="Xen, xen/arch/arm/vpsci.c, do_psci_cpu_off and do_common_cpu_on (HEAD)",
    section="A",
    confidence="low",
    core=True,
    property="I3",
    scenario="guest-bad-calls",
    platform="dual",
)


@relink_xen
async def do_psci_cpu_on(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """As in Xen: _VPF_down is all that is looked at."""
    target = vcpu_of_mpidr(pe, vcpu, args[0])
    if target is None:
        return PsciError.INVALID_PARAMETERS
    if not entry_is_valid(vcpu, args[1]):
        return PsciError.INVALID_ADDRESS
    lock = pe.xen.domains[vcpu.domain].lock
    cells = pe.xen.vcpu[target.index]
    await spin_lock(pe, lock)
    flags, cntvoff = await pe.load_burst((cells.pause_flags, cells.context[-1]))
    if not flags & VPF_DOWN:
        await spin_unlock(pe, lock)
        return PsciError.ALREADY_ON
    await stop_vcpu_timer(pe, target.index)
    registers = pe.board.platform.list_registers
    fresh = reset_state(args[1], args[2], registers, cntvoff, target.arch)
    await vgic_clear_pending(pe, target)
    await store_context(pe, target, fresh)
    await pe.atomic(AtomicOp.CLEAR, cells.pause_flags, VPF_DOWN)
    await spin_unlock(pe, lock)
    await vcpu_wake(pe, target)
    return PsciError.SUCCESS


def change_scenario(scenario: Scenario) -> Scenario:
    """A guest that starts a vCPU again as soon as AFFINITY_INFO says that it is off."""
    tick_us = 20_000
    return replace(
        scenario,
        domains=(
            DomainSpec(id=0, role=Role.HARDWARE, tick_us=tick_us),
            DomainSpec(id=1, vcpus=2, tick_us=tick_us),
        ),
        points=(),
        steps=(
            Step(expect=ExpectLine(domain=1, any_of=("dom1: up",), since="start")),
            Step(type_line=TypeLine(domain=1, line="smp-test 10")),
            Step(expect=ExpectLine(domain=1, any_of=("smp-test: done", "stays on"))),
            Step(wait_ms=1_200),
        ),
    )
