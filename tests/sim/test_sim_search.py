"""A firmware race that is small enough to be searched completely."""

import pytest

from deploy.explore.explorer import explore
from deploy.explore.plan import BOUNDED
from deploy.psci.board import bare_board

pytestmark = pytest.mark.sim

SEARCHED = {0: (1, 48), 1: (49, 1075), 2: (1107, 6879)}
"""Delays that a schedule may spend, to schedules and different worlds with a choice to make."""


@pytest.mark.parametrize("bound", SEARCHED)
def test_one_goes_off_another_turns_it_on_a_third_would_sleep(bound: int) -> None:
    """Every order within the bound is tried, and none of them violates a clause of PSCI."""
    board = bare_board("interleavings", "off-on-and-system-suspend", 0)

    progress = explore(board, BOUNDED, 10_000, bound=bound)

    assert progress.complete
    assert not progress.failures
    assert (progress.done, progress.worlds) == SEARCHED[bound]


def test_more_delays_reach_more_states() -> None:
    """The bound matters: what a schedule without delays reaches is a part of the rest."""
    board = bare_board("interleavings", "off-on-and-system-suspend", 0)

    counts = [explore(board, BOUNDED, 10_000, bound=bound).states for bound in (0, 1)]

    assert counts[0] < counts[1]
