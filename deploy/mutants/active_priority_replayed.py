"""An interrupt is not ended before S9, nobody looks at GICC_APR, and nothing gets past it again."""

from msgspec.structs import replace

from proto.gic import GICC
from proto.patch import Mutant, original, relink_xen, stand_in
from proto.scenario import PointAction, Profile, Scenario
from services.pcpu.pe import Pe
from services.pcpu.xen import irq
from services.pcpu.xen.gic import GICC_VA
from services.pcpu.xen.vgic import guest_of, vgic_get_target_vcpu, vgic_inject_irq

MUTANT = Mutant(
    id="active-priority-replayed",
    title="A priority that is active at S9 outlives the sleep and blocks all later interrupts",
    source="Luca Fancellu and Mykola Kvach on Suspend to RAM series v8 02/13 (2026-05-10)",
    section="C",
    confidence="high",
    core=True,
    property="gic_prio",
    finding="without having ended INTID 40",
    scenario="one-domain",
    power="all-retained",
)


@relink_xen
async def do_irq(pe: Pe, intid: int, iar: int) -> None:
    """The priority of a frozen domain's interrupt is to be dropped when the domain runs again."""
    domain = guest_of(pe.xen, intid)
    if domain is None:
        await original(irq.do_irq)(pe, intid, iar)
        return
    if not await pe.load(pe.xen.domains[domain].pause_count):
        pe.post(GICC_VA + GICC.EOIR.offset, iar)
    await vgic_inject_irq(pe, await vgic_get_target_vcpu(pe, domain, intid), intid)


def change_profile(profile: Profile) -> Profile:
    """GICC_APR is not looked at, as in the 2025-03 series."""
    return stand_in(profile, "gic_quiesce", "gic_quiesce_nothing")


def change_scenario(scenario: Scenario) -> Scenario:
    """An interrupt of the domain comes when it is frozen."""
    early = PointAction(point="after S1", irq="tty0", hold_us=50)
    return replace(scenario, points=(*scenario.points, early), outcomes=("slept", "abandoned"))
