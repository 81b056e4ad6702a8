"""Joint minimisation: pieces of the board and delays of the schedule, until none can go."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from bus.world.delays import Delay
from bus.world.guided import Corpus
from deploy.explore.plan import HORIZON, plan
from deploy.shrink.pieces import shorter_story, smaller_machine, unrolled
from deploy.shrink.trial import Case, Delays, Lab, case_of_plan
from proto.board import Board

SEARCHED: Final = 60
"""Schedules that are tried on a smaller board which the delays at hand do not make fail."""

Tell = Callable[[Case, int], None]
Smaller = Callable[[Board], Iterator[Board]]


def reduce(case: Case, lab: Lab, tell: Tell) -> Case:
    """The smallest case in reach: taking any one piece of it away loses the failure.

    Stops early, with what it has, when the laboratory's tries are used up.
    """
    flat = lab.attempt(unrolled(case.board), case.delays, case.windows)
    case = flat or case
    while True:
        before = case.size
        case = fewer_delays(case, lab)
        tell(case, lab.tries)
        case = fewer_pieces(case, lab, tell)
        if case.size == before or lab.exhausted:
            break
    case = shorter_delays(case, lab)
    tell(case, lab.tries)
    return case


def fewer_pieces(case: Case, lab: Lab, tell: Tell) -> Case:
    """Take pieces of the board away one after the other, for as long as one can go.

    PEs and domains go first, and new schedules are looked for where the delays at hand do not fail
    without them: their going shifts everything that the delays were about.
    """
    while found := next(_kept(smaller_machine, case, lab), None) or next(_drawn(case, lab), None):
        case = found
        tell(case, lab.tries)
    while found := next(_kept(shorter_story, case, lab), None):
        case = found
        tell(case, lab.tries)
    return case


def _kept(smaller: Smaller, case: Case, lab: Lab) -> Iterator[Case]:
    """Smaller boards that fail under the same delays, or under none."""
    for board in smaller(case.board):
        found = lab.attempt(board, case.delays, case.windows)
        if found is None and case.delays:
            found = lab.attempt(board, {}, case.windows)
        if found is not None:
            yield found


def _drawn(case: Case, lab: Lab) -> Iterator[Case]:
    """Smaller machines that fail under schedules that are drawn for them."""
    for board in smaller_machine(case.board):
        found = _searched(board, case.board.scenario.seed, lab)
        if found is not None:
            yield found


def _searched(board: Board, seed: int, lab: Lab) -> Case | None:
    """A failing schedule of a board, from a few that are drawn, with few delays."""
    for index in range(SEARCHED):
        if lab.exhausted:
            return None
        wanted = plan("portfolio", seed, index, Corpus(), HORIZON)
        played = lab.play(board, wanted.make())
        if lab.reason.found_in(played) is not None:
            return fewer_delays(case_of_plan(board, played, wanted), lab)
    return None


def fewer_delays(case: Case, lab: Lab) -> Case:
    """Take delays away, many at a time at first; those of one link stand together."""
    empty = lab.attempt(case.board, {}, case.windows)
    if empty is not None:
        return empty
    size = max(1, len(case.delays) // 2)
    while True:
        start = 0
        before = len(case.delays)
        while start < len(case.delays):
            kept = _without(case.delays, start, size)
            found = lab.attempt(case.board, kept, case.windows)
            if found is None:
                start += size
            else:
                case = found
        if size > 1:
            size = max(1, min(size, len(case.delays)) // 2)
        elif len(case.delays) == before or lab.exhausted:
            return case


def _without(delays: Delays, start: int, size: int) -> dict[Delay, int]:
    names = _ordered(delays)
    gone = set(names[start : start + size])
    return {name: delays[name] for name in names if name not in gone}


def _ordered(delays: Delays) -> Sequence[Delay]:
    return sorted(delays)


def shorter_delays(case: Case, lab: Lab) -> Case:
    """Make each delay as short as it can be; what is a nanosecond shorter does not fail."""
    for name in _ordered(case.delays):
        low, high = 0, case.delays[name]
        while high - low > 1:
            middle = (low + high) // 2
            found = lab.attempt(case.board, {**case.delays, name: middle}, case.windows)
            if found is None:
                low = middle
            else:
                high = middle
        case = replace(case, delays={**case.delays, name: high})
    return case
