"""An interrupt that Xen ended and the parked guest has yet to deactivate loses its active state."""

from msgspec.structs import replace

from proto.patch import Mutant, relink_xen
from proto.scenario import PointAction, Scenario
from services.pcpu.pe import Pe
from services.pcpu.xen.gic_v2 import CONFIGURATION_FIRST, gic_write_arrays

MUTANT = Mutant(
    id="active-bit-dropped",
    title="ISACTIVER is not restored, so the guest deactivates an interrupt that is inactive",
    source="Mykola Kvach on Suspend to RAM series v8 02/13 (2026-05-10 and 2026-05-11)",
    section="C",
    confidence="high",
    core=True,
    property="I4",
    finding="GICD_ISACTIVER",
    scenario="one-domain",
)


@relink_xen
async def gic_restore_arrays(pe: Pe) -> None:
    """What was active is only cleared."""
    await gic_write_arrays(pe, tuple(name for name in CONFIGURATION_FIRST if name != "isactiver"))


def change_scenario(scenario: Scenario) -> Scenario:
    """An interrupt of the domain comes when it is frozen, and Xen drops its priority."""
    early = PointAction(point="after S1", irq="tty0", hold_us=50)
    return replace(scenario, points=(*scenario.points, early), outcomes=("slept", "abandoned"))
