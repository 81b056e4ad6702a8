"""The hardware domain's shutdown handler gets every reason, and does not know `suspend`."""

from msgspec.structs import replace

from proto.hypercall import ShutdownReason
from proto.ids import DomainId
from proto.patch import Mutant, relink_xen
from proto.scenario import DomainSpec, ExpectLine, Role, Scenario, Step, TypeLine
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.shutdown import HWDOM_ENDS

MUTANT = Mutant(
    id="hwdom-shutdown-on-suspend",
    title="The hardware domain's suspend restarts the machine",
    source="Xen 1e3dc2f866 (2026-03-24); Jan Beulich on v6 11/13, 2025-09-02",
    section="A",
    confidence="high",
    property="scenario",
    finding="expected 'PM: suspend exit'",
    scenario="v11",
    profile="v11",
    platform="dual",
)

UNKNOWN = ("shutdown: unknown reason; rebooting machine.", "machine_restart")


@relink_xen
async def hwdom_shutdown(pe: Pe, domain: DomainId, reason: ShutdownReason) -> None:
    """The default of the switch takes the machine down."""
    words, ending = HWDOM_ENDS.get(reason, UNKNOWN)
    await printk(pe, f"Hardware Dom{domain} {words}")
    await pe.links[ending](pe)


def change_scenario(scenario: Scenario) -> Scenario:
    """The hardware domain alone, on a console that says what has become of it."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE, tick_us=1_000_000),),
        points=(),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 0.1")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",))),
        ),
    )
