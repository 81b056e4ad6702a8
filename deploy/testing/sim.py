"""The fixture `world`: a board in the sim world, under one schedule after the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bus.world.guided import Corpus
from bus.world.strategies import RandomStrategy, Strategy, TapeStrategy
from deploy.cli.report import command
from deploy.explore.plan import HORIZON, STRATEGIES, plan, schedule_seed
from deploy.explore.play import Played, play
from deploy.loading import UsageError
from deploy.run_sim import Simulation, run_sim
from deploy.testing.bench import Bench
from deploy.testing.seen import Seen
from proto.board import Board
from proto.turn import Turn
from services.monitor.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Schedules:
    """What `@pytest.mark.schedules` asks for."""

    number: int = 200
    strategy: str = "portfolio"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if self.strategy not in STRATEGIES:
            names = ", ".join(STRATEGIES)
            raise UsageError(f"schedules: expected one of {names}, got {self.strategy!r}")
        if self.number < 1:
            raise UsageError(f"schedules: expected at least 1, got {self.number}")


@dataclass
class _Learned:
    """What the schedules of one board have reached so far."""

    corpus: Corpus = field(default_factory=Corpus)
    horizon: int = HORIZON


@dataclass(frozen=True, slots=True)
class _Ran:
    """One run of a test: its board, its strategy and what came of it."""

    board: Board
    name: str
    windows: bool
    played: Played
    verdict: Verdict

    @property
    def surprise(self) -> str:
        """What nobody expected, in one line; empty if there is nothing."""
        if self.played.crash:
            return f"a node raised {self.played.crash}"
        return next(
            (
                f"{finding.property}: {finding.text}"
                for finding in self.verdict.findings
                if not finding.expected
            ),
            "",
        )


class SimWorld(Bench):
    """Runs the chosen board under the schedule that is due.

    A test without the marker `schedules` has one: that of `torpor run`, with the scenario's seed.
    """

    def __init__(self, here: Path, folder: Callable[[], Path]) -> None:
        super().__init__(here, folder)
        self._schedules: Schedules | None = None
        self._index = 0
        self._ran: list[_Ran] = []
        self._learned: dict[str, _Learned] = {}
        self._seen: Seen | None = None

    # -- for tests

    def run(self) -> Verdict:
        """Run the board once and judge it; it stops soon after a finding that nobody expected."""
        board = self.chosen
        if board.scenario.open:
            raise UsageError(f"scenario {board.scenario.name} stays open; a schedule needs an end")
        learned = self._learned.setdefault(board.composition, _Learned())
        strategy, name = self._strategy(board, learned)
        played = play(board, strategy, cover=True)
        verdict = played.verdict
        assert verdict is not None, "no strategy of a plan cuts a schedule off"
        self._seen = None
        self._ran.append(_Ran(board, name, strategy.windows, played, verdict))
        if not strategy.windows:
            learned.corpus.add(played.choices, played.marks)
            learned.horizon = len(played.choices)
        return verdict

    @property
    def journal(self) -> Seen:
        """Traces and messages of the last run; the first look runs its choices again."""
        if self._seen is None:
            turns: list[Turn] = []
            ran = self._last()
            tape = TapeStrategy(ran.played.choices, ran.windows)
            Simulation(ran.board, tape, turns.append).run(ran.played.stopped_ns)
            self._seen = Seen(turns)
        return self._seen

    @property
    def choices(self) -> tuple[int, ...]:
        """The tape of the last run."""
        return tuple(self._last().played.choices)

    def _last(self) -> _Ran:
        if not self._ran:
            raise UsageError("nothing has run yet; call `.run()` first")
        return self._ran[-1]

    def _strategy(self, board: Board, learned: _Learned) -> tuple[Strategy, str]:
        wanted = self._schedules
        if wanted is None:
            seed = board.scenario.seed
            return RandomStrategy(seed), f"random seed {seed}"
        # A second run of the same schedule has a seed of its own.
        seed = schedule_seed(wanted.seed, -len(self._ran)) if self._ran else wanted.seed
        due = plan(wanted.strategy, seed, self._index, learned.corpus, learned.horizon)
        return due.make(), f"{due.strategy} seed {due.seed}"

    # -- for the plugin

    def begin(self, schedules: Schedules | None, index: int) -> None:
        """The next schedule."""
        self._schedules, self._index = schedules, index
        self._ran, self._seen = [], None

    def settle(self) -> str:
        """Why this schedule fails although the test has nothing against it; empty if it does not.

        Raises `UsageError` if nothing has been run.
        """
        self._last()
        return next((ran.surprise for ran in self._ran if ran.surprise), "")

    def keep(self) -> None:
        """Write tape and journal of the run that failed, or else of the last one, and tell it."""
        if not self._ran:
            return
        ran = next((ran for ran in self._ran if ran.surprise), self._ran[-1])
        journal = self.folder / f"schedule-{self._index}.journal"
        tape = TapeStrategy(ran.played.choices, ran.windows)
        written = run_sim(ran.board, journal, tape, ran.name, limit_ns=ran.played.stopped_ns)
        wanted = self._schedules
        of = "" if wanted is None else f" of {wanted.number} (marker's seed {wanted.seed})"
        self.told = [
            f"schedule: {self._index}{of}, {ran.name}",
            *([f"found:    {ran.surprise}"] if ran.surprise else []),
            f"journal:  {journal}",
            f"replay:   {command('replay', str(written.tape))}",
        ]
