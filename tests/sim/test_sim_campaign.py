"""The main job over many seeds: baseline clean, seed with its expected findings, all repeatable."""

from pathlib import Path

import pytest

from bus.journal import read_journal
from deploy.loading import Overrides, resolve
from deploy.run_sim import run_sim
from proto.board import Board
from services.monitor.verdict import Verdict, judge

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]

SEEDS = 200
CHUNK = 20
CHUNKS = range(0, SEEDS, CHUNK)


def boards(name: str, first: int) -> list[Board]:
    return [resolve(name, Overrides(seed=seed)) for seed in range(first, first + CHUNK)]


def run_twice(board: Board, folder: Path) -> Verdict:
    """The verdict of a run, after a second one gave the same journal to the byte."""
    first, second = folder / "first", folder / "second"
    run_sim(board, first)
    run_sim(board, second)
    assert first.read_bytes() == second.read_bytes(), (
        f"seed {board.scenario.seed} is not repeatable"
    )
    return judge(read_journal(first))


@pytest.mark.parametrize("first", CHUNKS)
def test_baseline_is_clean(first: int, tmp_path: Path) -> None:
    """No property is violated, and no finding is needed to say so."""
    for board in boards("baseline", first):
        verdict = run_twice(board, tmp_path)

        assert (verdict.verdict, verdict.findings) == ("pass", ()), board.scenario.seed


PUBLISHED = [("seed", first) for first in CHUNKS] + [
    (name, first) for name in ("v8", "v11") for first in CHUNKS[:3]
]
"""The customer's main job over all seeds, later versions of the series over some."""


@pytest.mark.parametrize(("name", "first"), PUBLISHED)
def test_a_published_design_shows_nothing_but_its_expected_findings(
    name: str, first: int, tmp_path: Path
) -> None:
    """It fails where its profile says, and nowhere else."""
    for board in boards(name, first):
        verdict = run_twice(board, tmp_path)

        unexpected = [finding for finding in verdict.findings if not finding.expected]
        assert unexpected == [], board.scenario.seed
        assert verdict.verdict == "pass"


def test_the_seeds_reach_the_races(tmp_path: Path) -> None:
    """Every `sometimes` interleaving occurs, and each expected finding and outcome does too."""
    reached: set[str] = set()
    found: set[str] = set()
    outcomes: set[str | None] = set()
    for board in boards("seed", 0):
        journal = tmp_path / "journal"
        run_sim(board, journal)
        verdict = judge(read_journal(journal))
        reached |= {name for name, occurred in verdict.sometimes.items() if occurred}
        found |= {finding.because for finding in verdict.findings}
        outcomes |= {attempt.outcome for attempt in verdict.attempts}

    assert reached == {
        "cpu_off_completes_after_later_step",
        "cpu_off_completes_before_later_step",
        "interrupt_between_freeze_and_mask",
    }
    # Two concern domUs: one that wakes, and one that starts a vCPU as soon as it is off.
    for scenario in ("suspend-domu-wakes", "guest-vcpu-cycle"):
        for seed in range(3):
            journal = tmp_path / "journal"
            run_sim(resolve(scenario, Overrides(seed=seed, profile="seed")), journal)
            found |= {finding.because for finding in judge(read_journal(journal)).findings}
    expected = {known.because for known in boards("seed", 0)[0].profile.expected_findings}
    assert expected <= found
    assert outcomes == {"slept", "denied"}
