"""The arguments of an SMC32 call are used with what a 64-bit guest left above them."""

from msgspec.structs import replace

from proto.patch import Mutant, relink_xen
from proto.psci import PsciError, is_smc64
from proto.scenario import (
    ExpectLine,
    ExpectPoint,
    GuestArch,
    PointAction,
    Scenario,
    Step,
    TypeLine,
)
from proto.traces import VpsciCall, VpsciResult
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.vpsci import HANDLERS, Args

MUTANT = Mutant(
    id="smc32-upper-bits",
    title="Junk in the upper half of an SMC32 argument becomes part of entry and context id",
    source="Xen f4af571dd7 (2026-03-31); Julien Grall on the guest series v5 1/4",
    section="A",
    confidence="high",
    core=True,
    property="I3",
    scenario="guest-32bit",
    platform="dual",
)

POINT = "vpsci.SYSTEM_SUSPEND d2"


@relink_xen
async def do_vpsci_call(pe: Pe, vcpu: Vcpu, function: int, args: Args) -> int | None:
    """Without the masks of SMC32 arguments."""
    handler = HANDLERS.get(function)
    if handler is None or (is_smc64(function) and vcpu.arch is GuestArch.AARCH32):
        return PsciError.NOT_SUPPORTED
    pe.trace(VpsciCall(vcpu.domain, vcpu.number, function, args))
    code = await handler(pe, vcpu, args)
    decision = PsciError.SUCCESS if code is None else code
    pe.trace(VpsciResult(vcpu.domain, vcpu.number, function, decision))
    return code


def change_scenario(scenario: Scenario) -> Scenario:
    """Only the guest that calls with junk."""
    return replace(
        scenario,
        domains=tuple(spec for spec in scenario.domains if spec.id != 1),
        points=(PointAction(point=POINT),),
        steps=(
            Step(expect=ExpectLine(domain=2, any_of=("dom2: up",), since="start")),
            Step(type_line=TypeLine(domain=2, line="suspend-test junk32")),
            Step(reached=ExpectPoint(point=POINT)),
            Step(wait_ms=5),
            Step(irq="tty2"),
            Step(expect=ExpectLine(domain=2, any_of=("PM: suspend exit",), since="start")),
        ),
    )
