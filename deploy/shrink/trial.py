"""One try: does this board under these delays still fail for the same reason?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bus.world.delays import Delay, DelayStrategy, ObservedTape
from bus.world.strategies import Strategy
from bus.world.tape import Tape
from deploy.explore.plan import Plan
from deploy.explore.play import Played, play
from proto.board import Board
from services.monitor.prop import Finding

Delays = Mapping[Delay, int]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a schedule fails: the property and the text of the finding but for its numbers."""

    property: str
    shape: str

    def found_in(self, played: Played) -> Finding | None:
        """The first surprise for this reason."""
        if played.verdict is None:
            return None
        surprises = (found for found in played.verdict.findings if not found.expected)
        return next((found for found in surprises if reason_of(found) == self), None)


def reason_of(finding: Finding) -> Reason:
    """The reason that a finding is."""
    return Reason(finding.property, "".join("#" if c.isdigit() else c for c in finding.text))


@dataclass(frozen=True, slots=True)
class Case:
    """A board with a schedule that fails."""

    board: Board
    delays: Delays
    windows: bool

    @property
    def size(self) -> tuple[int, int, int, int, int]:
        """How large it is: PEs, domains and vCPUs, steps, points, delays."""
        scenario = self.board.scenario
        vcpus = sum(1 + spec.vcpus for spec in scenario.domains)
        steps, points = len(scenario.steps), len(scenario.points)
        return self.board.platform.pes, vcpus, steps, points, len(self.delays)


@dataclass(slots=True)
class Lab:
    """Plays cases and counts how many; `limit` bounds them.

    A case that has not failed at `patience_ns` of board time counts as passing: a step too few, and
    a scenario waits for minutes.
    """

    reason: Reason
    limit: int
    patience_ns: int
    tries: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether no more may be tried."""
        return self.tries >= self.limit

    def attempt(self, board: Board, delays: Delays, windows: bool) -> Case | None:
        """The case with the delays that had an effect, if it fails for the reason."""
        if self.exhausted:
            return None
        strategy = DelayStrategy(delays, windows)
        failed = self.fails(board, strategy)
        return Case(board, dict(strategy.used), windows) if failed else None

    def fails(self, board: Board, strategy: Strategy) -> bool:
        """Whether the board fails for the reason under a strategy."""
        return self.reason.found_in(self.play(board, strategy)) is not None

    def play(self, board: Board, strategy: Strategy) -> Played:
        """Play one schedule for as long as there is patience."""
        self.tries += 1
        return play(board, strategy, limit_ns=self.patience_ns)


def case_of(tape: Tape) -> tuple[Case, Played]:
    """What a tape does differently from the calmest schedule; raises `Diverged`."""
    return _observed(tape.board, tape.choices, tape.windows, tape.stopped_ns)


def case_of_plan(board: Board, played: Played, wanted: Plan) -> Case:
    """What a schedule that has just been played does differently from the calmest one."""
    return _observed(board, played.choices, wanted.make().windows, played.stopped_ns)[0]


def _observed(
    board: Board, choices: Sequence[int], windows: bool, stopped_ns: int
) -> tuple[Case, Played]:
    strategy = ObservedTape(choices, windows)
    played = play(board, strategy, limit_ns=stopped_ns)
    return Case(board, strategy.delays, windows), played
