"""Every shipped scenario, in the simulator: the verdict its author expects."""

from pathlib import Path

import pytest

from bus.journal import read_journal
from deploy.loading import DEPLOY, Overrides, resolve
from deploy.run_sim import run_sim
from services.monitor.verdict import Verdict, judge

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]

SCENARIOS = sorted(path.stem for path in (DEPLOY / "scenarios").glob("*.yaml"))
SETTINGS = ((0, "all-lost"), (1, "all-retained"), (2, "gic-retained"), (3, "all-lost"))
"""Seed and power model of each run of a scenario."""


def verdict_of(scenario: str, folder: Path, overrides: Overrides) -> Verdict:
    journal = folder / "journal"
    run_sim(resolve(scenario, overrides), journal)
    return judge(read_journal(journal))


@pytest.mark.parametrize(("seed", "power_model"), SETTINGS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_passes(scenario: str, seed: int, power_model: str, tmp_path: Path) -> None:
    """Whatever the blocks keep: all is carried out, and no property violated but as expected."""
    verdict = verdict_of(scenario, tmp_path, Overrides(seed=seed, power_model=power_model))

    assert [finding for finding in verdict.findings if not finding.expected] == []
    assert verdict.verdict == "pass", verdict.trouble
    assert verdict.properties["scenario"] == "pass"


@pytest.mark.parametrize(
    ("scenario", "outcome"),
    [
        ("baseline", "slept"),
        ("suspend-denied", "denied"),
        ("suspend-secondary-slow", "denied"),
        ("suspend-secondary-slow-polled", "slept"),
        ("suspend-interrupt-pending", "abandoned"),
        ("suspend-cpu-stays-up", "aborted"),
        ("suspend-cpu-off-refused", "aborted"),
        ("suspend-cpu-lost", "slept"),
        ("suspend-power-on-fails", "slept"),
    ],
)
def test_host_suspend_ends_as_the_scenario_makes_it(
    scenario: str, outcome: str, tmp_path: Path
) -> None:
    """Each error path is really taken."""
    verdict = verdict_of(scenario, tmp_path, Overrides(seed=5))

    assert [attempt.outcome for attempt in verdict.attempts] == [outcome]


@pytest.mark.parametrize(
    ("scenario", "failed", "resumed"),
    [
        (
            "suspend-denied",
            "S13",
            ["R1", "R5", "R4", "R2", "R4", "R3", "R7", "R8", "R8", "R8", "R9"],
        ),
        ("suspend-cpu-stays-up", "S3", ["R7", "R8", "R8", "R8", "R9"]),
    ],
)
def test_an_abort_unwinds_in_reverse(
    scenario: str, failed: str, resumed: list[str], tmp_path: Path
) -> None:
    """What was done is taken back, last one first, and nothing else is."""
    verdict = verdict_of(scenario, tmp_path, Overrides(seed=1))
    phases = [phase for phase in verdict.phases if phase.label[0] in "SR"]

    assert [phase.label for phase in phases if phase.error] == [failed]
    assert [phase.label for phase in phases if phase.label.startswith("R")] == resumed


@pytest.mark.parametrize("platform", ["uni", "dual", "octo"])
def test_baseline_sleeps_on_every_platform(platform: str, tmp_path: Path) -> None:
    """One PE, two, and as many as GICv2 connects."""
    verdict = verdict_of("guest-suspend", tmp_path, Overrides(seed=3, platform=platform))
    assert verdict.verdict == "pass", verdict.trouble

    verdict = verdict_of("ten-cycles", tmp_path, Overrides(seed=3, platform=platform))
    assert verdict.verdict == "pass", verdict.trouble
    assert [attempt.outcome for attempt in verdict.attempts] == ["slept"] * 10
