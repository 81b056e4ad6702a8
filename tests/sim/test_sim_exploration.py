"""The design with every known defect corrected is clean, over thousands of schedules.

CI runs 5,000 of them. `TORPOR_SCHEDULES` asks for another number, `make nightly` for 100,000.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deploy.explore.explorer import explore
from deploy.explore.failures import summary
from deploy.loading import Overrides, resolve

pytestmark = [pytest.mark.sim, pytest.mark.timeout(1200)]

SCHEDULES = int(os.environ.get("TORPOR_SCHEDULES", "5000"))
CHUNK = 50
"""Schedules of one test: small, so that workers share them well."""


@dataclass(frozen=True)
class Share:
    """A board and strategy, with how many of a hundred schedules it gets."""

    percent: int
    scenario: str = "baseline"
    platform: str | None = None
    power: str | None = None
    strategy: str = "portfolio"

    @property
    def name(self) -> str:
        """What it is, for a test's name."""
        parts = (self.scenario, self.platform, self.power, self.strategy)
        return "-".join(part for part in parts if part)


SHARES = (
    Share(30),
    Share(20, platform="dual"),
    Share(6, platform="uni"),
    Share(6, platform="octo"),
    Share(10, power="gic-retained"),
    Share(4, power="all-retained"),
    Share(8, strategy="guided", platform="dual"),
    Share(4, scenario="guest-suspend"),
    Share(4, scenario="suspend-secondary-slow-polled"),
    Share(4, scenario="suspend-interrupt-pending"),
    Share(4, scenario="suspend-interrupt-frozen"),
)


def chunks() -> Iterator[tuple[Share, int, int]]:
    """Share, seed and number of schedules of each test."""
    for share in SHARES:
        left = SCHEDULES * share.percent // 100
        for seed in range(-(-left // CHUNK)):
            yield share, seed, min(CHUNK, left - seed * CHUNK)


def test_the_shares_are_all_of_it() -> None:
    """A hundred of a hundred."""
    assert sum(share.percent for share in SHARES) == 100


@pytest.mark.parametrize(
    ("share", "seed", "schedules"),
    [pytest.param(*chunk, id=f"{chunk[0].name}-{chunk[1]}") for chunk in chunks()],
)
def test_the_corrected_design_is_clean(share: Share, seed: int, schedules: int) -> None:
    """No schedule violates a property, and no node raises."""
    overrides = Overrides(share.platform, "baseline", share.power, seed)
    board = resolve(share.scenario, overrides)

    progress = explore(board, share.strategy, schedules)

    assert [summary(failure) for failure in progress.failures] == []
    assert progress.done == schedules
