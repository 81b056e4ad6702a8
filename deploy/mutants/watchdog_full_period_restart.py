"""The watchdogs of a domain that wakes are set anew, as if it had just patted them."""

from msgspec.structs import replace

from proto.ids import DomainId
from proto.patch import Mutant, relink_xen
from proto.scenario import DomainSpec, ExpectLine, Role, Scenario, Step, TypeLine
from services.pcpu.pe import Pe
from services.pcpu.xen.watchdog import watchdog_domain_resume, watchdog_domain_suspend

MUTANT = Mutant(
    id="watchdog-full-period-restart",
    title="A watchdog that had nearly expired gets a whole period more from a sleep",
    source="Jan Beulich on the seed's 08/16, 2025-03-13",
    section="D",
    confidence="high",
    property="watchdog",
    scenario="guest-watchdog",
    platform="dual",
)


@relink_xen
async def stop_watchdogs(pe: Pe, domain: DomainId) -> None:
    """watchdog_domain_suspend of the series."""
    await watchdog_domain_suspend(pe, domain)


@relink_xen
async def restart_watchdogs(pe: Pe, domain: DomainId) -> None:
    """watchdog_domain_resume of the series."""
    await watchdog_domain_resume(pe, domain)


@relink_xen
async def freeze_watchdogs(pe: Pe, domain: DomainId) -> None:
    """The same for a domain that is frozen."""
    await watchdog_domain_suspend(pe, domain)


@relink_xen
async def thaw_watchdogs(pe: Pe, domain: DomainId) -> None:
    """The same for a domain that is thawed."""
    await watchdog_domain_resume(pe, domain)


def change_scenario(scenario: Scenario) -> Scenario:
    """The hardware domain sleeps when a part of its period is over."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE, watchdog_s=2),),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(wait_ms=600),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 1")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",), within_ms=20_000)),
        ),
    )
