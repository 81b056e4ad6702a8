"""iommu_suspend calls the driver's hook without looking whether there is one."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.platform import IommuDriver, Platform
from proto.scenario import DomainSpec, ExpectLine, Profile, Role, Scenario, Step, TypeLine

MUTANT = Mutant(
    id="iommu-hook-missing",
    title="Xen calls address 0: the IOMMU's driver has no suspend hook",
    source='"[PATCH 01/16] iommu: Add checks before calling iommu suspend/resume", 2025-03-05',
    section="D",
    confidence="high",
    core=True,
    property="no_panic",
    finding="no suspend hook",
    platform="dual",
)


def change_profile(profile: Profile) -> Profile:
    """As before the patch."""
    return stand_in(profile, "iommu_suspend", "iommu_suspend_unchecked")


def change_platform(platform: Platform) -> Platform:
    """An SMMU, whose driver has no callbacks for suspend."""
    return replace(platform, iommu=IommuDriver.SMMU)


def change_scenario(scenario: Scenario) -> Scenario:
    """The suspend fails cleanly where the driver cannot do it."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE),),
        points=(),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(type_line=TypeLine(domain=0, line="echo mem > /sys/power/state")),
            Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",), within_ms=10_000)),
        ),
        outcomes=("aborted",),
    )
