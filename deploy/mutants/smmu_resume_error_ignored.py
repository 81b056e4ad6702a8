"""The SMMU's reset fails at resume, after all DMA was set to abort, and the driver only logs it."""

from msgspec.structs import replace

from proto.patch import Mutant, stand_in
from proto.platform import IommuDriver, Platform
from proto.scenario import (
    DomainSpec,
    ExpectLine,
    Finding,
    PointAction,
    Profile,
    Role,
    Scenario,
    Step,
    TypeLine,
)

MUTANT = Mutant(
    id="smmu-resume-error-ignored",
    title="DMA stays blocked after the resume, with no notice but a line in the log",
    source="Oleksandr Tyshchenko on v7 08/12, 2026-01-31",
    section="D",
    confidence="high",
    property="iommu",
    finding="SMMU_CR0",
    platform="dual",
)

ETIMEDOUT = -110


def change_profile(profile: Profile) -> Profile:
    """As before v8."""
    return stand_in(profile, "arm_smmu_v3_resume", "arm_smmu_v3_resume_regardless")


def change_platform(platform: Platform) -> Platform:
    """The IOMMU is an SMMUv3."""
    return replace(platform, iommu=IommuDriver.SMMUV3)


def change_scenario(scenario: Scenario) -> Scenario:
    """The command queue hangs at resume: without the bug Xen panics rather than run on."""
    return replace(
        scenario,
        domains=(DomainSpec(id=0, role=Role.HARDWARE),),
        # The first CMD_SYNC is the setup's, the second that of the suspend.
        points=(PointAction(point="smmuv3.CMD_SYNC", occurrence=3, return_code=ETIMEDOUT),),
        steps=(
            Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 0.1")),
            Step(wait_ms=300),
        ),
        expected_findings=(
            Finding(
                property="no_panic",
                contains="SMMUv3 resume failed",
                because="A device that would block DMA without a word is fatal.",
            ),
            Finding(
                property="I6",
                contains="never came back to active",
                because="Xen has panicked in R5.",
            ),
        ),
    )
