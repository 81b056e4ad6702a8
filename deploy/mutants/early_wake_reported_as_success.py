"""A return from SYSTEM_SUSPEND is a panic, though a pending interrupt makes it return SUCCESS."""

from msgspec.structs import replace

from proto.patch import Mutant, relink_xen
from proto.psci import Psci, PsciError, error_name
from proto.scenario import PointAction, Scenario
from services.pcpu.pe import Pe
from services.pcpu.xen.psci import panic

MUTANT = Mutant(
    id="early-wake-reported-as-success",
    title="SYSTEM_SUSPEND returns in place for a pending interrupt, and Xen takes it as fatal",
    source="TF-A 22f08973f, pull request #1559 (2018), and 2b5e00d4e (2024-12-19)",
    section="C",
    confidence="high",
    core=True,
    property="no_panic",
    finding="PSCI system suspend returned SUCCESS",
    scenario="one-domain",
)


@relink_xen
async def call_psci_system_suspend(pe: Pe) -> int:
    """A call that comes back has failed, and nobody knows what is left of the machine."""
    error = await pe.smc(Psci.SYSTEM_SUSPEND, pe.image.address("hyp_resume"), 0)
    await panic(pe, f"PSCI system suspend returned {error_name(error)}")
    return PsciError.INTERNAL_FAILURE


def change_scenario(scenario: Scenario) -> Scenario:
    """An interrupt is pending when firmware looks, so that it returns SUCCESS in place."""
    early = PointAction(point="before S13", irq="rtc", hold_us=100)
    steps = tuple(step for step in scenario.steps if step.power is None and step.irq is None)
    return replace(scenario, points=(*scenario.points, early), steps=steps, outcomes=("abandoned",))
