"""The decisive pair: two events at one node whose order flips pass into fail.

The failing run is laid beside the nearest passing one: the same but for one delay that is a
nanosecond shorter, or is not there. Up to the first node that is given its inputs in another order
both are the same to every node; there the order of two events decides.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from bus.world.delays import OVERTAKES, Delay, DelayStrategy
from bus.world.guided import Corpus
from bus.world.strategies import Strategy
from deploy.explore.plan import HORIZON, plan
from deploy.explore.play import play
from deploy.shrink.reduce import fewer_delays
from deploy.shrink.trial import Case, Lab, case_of_plan
from proto.board import Board
from proto.ids import NodeId
from proto.turn import Fired, Received, Turn

PASSING: Final = 40
"""Schedules that are tried to find one that passes, where the calmest one fails."""

Event = tuple[str, str]
"""Where an input comes from: a sender or a timer, and which one of it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """At `node`, `first` before `second` fails, and the other way round passes.

    `turns` are their positions in the failing run. `text` is what the passing run does differently.
    """

    node: NodeId
    first: int
    second: int
    text: str


@dataclass(slots=True)
class _Run:
    turns: list[Turn]

    @classmethod
    def of(cls, board: Board, strategy: Strategy, limit_ns: int) -> "_Run":
        run = cls([])
        play(board, strategy, follow=run.turns.append, limit_ns=limit_ns)
        return run

    def inputs(self) -> dict[NodeId, list[tuple[Event, int]]]:
        """What each node was given, in order, with the position of the turn."""
        given: dict[NodeId, list[tuple[Event, int]]] = {}
        for position, turn in enumerate(self.turns):
            given.setdefault(turn.node, []).append((_event(turn), position))
        return given


def _event(turn: Turn) -> Event:
    match turn.input:
        case Received(message):
            return message.src, str(message.seq)
        case Fired(timer):
            return "timer", timer
        case _:
            return "start", ""


def decisive_pair(case: Case, lab: Lab) -> Pair | None:
    """The pair that decides a minimal case; None if no schedule was found that passes."""
    failing = _Run.of(case.board, DelayStrategy(case.delays, case.windows), lab.patience_ns)
    for name, delay in case.delays.items():
        overtaking = name[0].startswith(OVERTAKES)
        shorter = {**case.delays, name: delay - 1}
        if overtaking or delay == 1:
            del shorter[name]
        strategy = DelayStrategy(shorter, case.windows)
        if lab.fails(case.board, strategy):
            continue
        passing = _Run.of(case.board, DelayStrategy(shorter, case.windows), lab.patience_ns)
        pair = _first_swap(failing, passing, _instead(name, delay, failing))
        if pair is not None:
            return pair
    if case.delays:
        return None
    return _against_passing(case, failing, lab)


def _instead(name: Delay, delay: int, failing: _Run) -> str:
    """What the passing run does differently, in words."""
    text = slower(name, delay, failing.inputs())
    return f"not {text}" if name[0].startswith(OVERTAKES) else f"{text}, and not one less"


def slower(name: Delay, delay: int, nodes: Collection[str]) -> str:
    """What a delay does, in words; `nodes` tells a node from a timer."""
    source, destination, number = name
    if source.startswith(OVERTAKES):
        link = f"{source.removeprefix(OVERTAKES)} to {destination}"
        return f"what is on its way from {link} overtakes (choice {number})"
    if destination in nodes:
        what = f"message {number} from {source} to {destination}"
    else:
        what = f"the wait {destination!r} of {source} (number {number})"
    return f"{what} takes {delay} ns longer than it has to"


def _against_passing(case: Case, failing: _Run, lab: Lab) -> Pair | None:
    """Where the calmest schedule fails: the nearest schedule that passes is looked for."""
    board = case.board
    for index in range(PASSING):
        wanted = plan("portfolio", board.scenario.seed, index, Corpus(), HORIZON)
        if wanted.make().windows:
            continue
        played = lab.play(board, wanted.make())
        if lab.reason.found_in(played) is not None or played.crash:
            continue
        opposite = _Passes(lab.reason, lab.limit, lab.patience_ns, lab.tries)
        near = fewer_delays(case_of_plan(board, played, wanted), opposite)
        lab.tries = opposite.tries
        passing = _Run.of(board, DelayStrategy(near.delays), lab.patience_ns)
        count = len(near.delays)
        text = f"{count} of the accesses before take longer than they have to"
        return _first_swap(failing, passing, text)
    return None


class _Passes(Lab):
    """The laboratory turned round: it looks for what does not fail."""

    def fails(self, board: Board, strategy: Strategy) -> bool:
        """Whether the board passes."""
        return not super().fails(board, strategy)


def _first_swap(failing: _Run, passing: _Run, text: str) -> Pair | None:
    """The earliest two events at one node that come in another order in the two runs."""
    others = passing.inputs()
    best: Pair | None = None
    for node, given in failing.inputs().items():
        pair = _swap(given, others.get(node, []))
        if pair is not None and (best is None or pair[0] < best.first):
            best = Pair(node, pair[0], pair[1], text)
    return best


def _swap(
    given: Sequence[tuple[Event, int]], other: Sequence[tuple[Event, int]]
) -> tuple[int, int] | None:
    """Positions, in the failing run, of the first two events that the other run has swapped."""
    for index, ((event, position), (instead, _)) in enumerate(zip(given, other, strict=False)):
        if event == instead:
            continue
        later = next((at for found, at in given[index:] if found == instead), None)
        behind = any(found == event for found, _ in other[index:])
        return (position, later) if later is not None and behind else None
    return None
