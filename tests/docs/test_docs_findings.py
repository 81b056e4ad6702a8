"""What docs/FINDINGS.md says of the published designs is so, and the proposed patches mend it."""

from pathlib import Path

import pytest

from deploy.cli.explore import nothing_expected
from deploy.explore.explorer import Result, explore
from deploy.loading import Overrides, resolve

pytestmark = [pytest.mark.sim, pytest.mark.timeout(600)]

FOLDER = Path(__file__).parent.parent.parent / "docs" / "findings"

FINDINGS = {
    "dead-flag-before-cpu-off": ("seed", "dual", "pct", "I1", "poll_affinity_info.py", 200, 40),
    "wake-irq-between-save-and-smc": (
        "suspend-wake-in-window",
        None,
        "portfolio",
        "I5",
        "interface_stays_open.py",
        5,
        40,
    ),
    "offline-flag-before-descheduled": (
        "guest-vcpu-cycle",
        None,
        "portfolio",
        "I3",
        "wait_until_descheduled.py",
        10,
        12,
    ),
}
"""Scenario, platform, strategy, property, patch, schedules to find it in, schedules without it."""


@pytest.mark.parametrize("finding", FINDINGS)
def test_the_published_design_shows_it_and_the_patched_one_does_not(finding: str) -> None:
    """The exploration of the document finds it; with the patch nothing is left of it."""
    scenario, platform, strategy, name, patch, within, without = FINDINGS[finding]

    def shown(result: Result) -> bool:
        return any(found.property == name for found in result.surprises)

    published = nothing_expected(resolve(scenario, Overrides(platform)), name)
    patched = resolve(scenario, Overrides(platform, mutants=(str(FOLDER / patch),)))

    found = explore(published, strategy, within, stop=shown)
    left = explore(nothing_expected(patched, name), strategy, without, stop=shown)

    assert any(shown(result) for result in found.failures)
    assert not any(shown(result) for result in left.failures)


@pytest.mark.parametrize("finding", FINDINGS)
def test_each_finding_has_its_section_picture_and_patch(finding: str) -> None:
    """What the document refers to is there."""
    text = (FOLDER.parent / "FINDINGS.md").read_text(encoding="utf-8")

    assert f"## {finding}: " in text
    assert (FOLDER / f"{finding}.svg").is_file()
    assert FINDINGS[finding][4] in text
