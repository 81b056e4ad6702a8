"""The corrected design under latencies far outside silicon's: interleavings that are rare else."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.journal import read_journal
from deploy.loading import Overrides, resolve
from deploy.run_sim import run_sim
from proto.board import Board
from services.monitor.verdict import judge

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]

STRETCHED: dict[str, dict[str, tuple[int, int]]] = {
    "memory": {"memory": (40, 4_000)},
    "guest and wires": {"guest": (30, 3_000), "wire": (10, 3_000)},
    "everything": {
        "memory": (0, 3_000),
        "reply": (0, 1_000),
        "guest": (0, 3_000),
        "wire": (0, 3_000),
        "device": (0, 2_000),
        "smc": (0, 2_000),
    },
    "nothing takes time": dict.fromkeys(
        ("memory", "reply", "guest", "wire", "device", "smc"), (0, 0)
    ),
}
"""What each kind of link may take, in ns."""


def stretched(seed: int, latencies: dict[str, tuple[int, int]]) -> Board:
    """The baseline with busier guests and other latencies."""
    board = resolve("baseline", Overrides(seed=seed))
    domains = tuple(replace(domain, tick_us=400) for domain in board.scenario.domains)
    return replace(
        board,
        scenario=replace(board.scenario, domains=domains),
        platform=replace(board.platform, latencies=replace(board.platform.latencies, **latencies)),
    )


@pytest.mark.parametrize("name", STRETCHED)
@pytest.mark.parametrize("seed", range(6))
def test_baseline_stays_clean(name: str, seed: int, tmp_path: Path) -> None:
    """A lost wake-up, a half-switched vCPU or a freeze that lets one run would show here."""
    result = run_sim(stretched(seed, STRETCHED[name]), tmp_path / "journal")
    verdict = judge(read_journal(tmp_path / "journal"), result.crash)

    assert result.crash == ""
    assert verdict.findings == ()
    assert verdict.verdict == "pass", verdict.trouble
