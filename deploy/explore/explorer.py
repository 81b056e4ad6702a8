"""Rounds of schedules: planned in order, run by workers, taken in in order.

What a round branches off is what the rounds before it have reached. So the result depends on the
seed alone, and not on how many workers there were or which was first.
"""

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Final

from bus.world.bounded import Search
from bus.world.guided import Corpus
from bus.world.strategies import Diverged, TapeStrategy
from deploy.explore.plan import BOUNDED, HORIZON, Plan, plan
from deploy.explore.play import Played, play
from proto.board import Board
from proto.codec import decoder, encode
from proto.traces import ScenarioStep
from proto.turn import Trace, Turn
from proto.vectors import Together
from services.monitor.prop import Finding
from services.monitor.verdict import Verdict

ROUND: Final = 24
"""Schedules of a round; a multiple of what the portfolio does in turns."""

CHECKED: Final = 3
"""So many schedules at the beginning are run twice and compared."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a worker tells of a schedule; `choices` and `windows` are its tape."""

    index: int
    strategy: str
    seed: int
    verdict: str
    crash: str
    findings: tuple[Finding, ...]
    reached: dict[str, bool]
    choices: Sequence[int]
    windows: bool
    marks: Sequence[tuple[int, int]]
    stopped_ns: int
    differs: str = ""
    """How it went another way when it was repeated; empty if it did not, or was not."""

    @property
    def surprises(self) -> tuple[Finding, ...]:
        """Findings that nobody expected."""
        return tuple(finding for finding in self.findings if not finding.expected)

    @property
    def failed(self) -> bool:
        """Whether it shows something: a violation, a crash, or a run that is not deterministic."""
        return bool(self.surprises or self.crash or self.differs)


@dataclass(slots=True)
class Progress:
    """How far an exploration is."""

    wanted: int
    done: int = 0
    states: int = 0
    worlds: int = 0
    complete: bool = False
    strategies: dict[str, int] = field(default_factory=dict)
    sometimes: dict[str, int] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    failures: list[Result] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Real seconds so far."""
        return time.monotonic() - self.began_s

    @property
    def per_second(self) -> float:
        """Schedules per second of real time."""
        return self.done / max(self.elapsed_s, 1e-9)

    def take(self, result: Result) -> None:
        """Count one schedule."""
        self.done += 1
        self.strategies[result.strategy] = self.strategies.get(result.strategy, 0) + 1
        for name, reached in result.reached.items():
            self.sometimes[name] = self.sometimes.get(name, 0) + reached
        for name in {finding.property for finding in result.findings if finding.expected}:
            self.expected[name] = self.expected.get(name, 0) + 1
        if result.failed:
            self.failures.append(result)


Tell = Callable[[Progress], None]
Stop = Callable[[Result], bool]


def explore(
    board: Board,
    strategy: str,
    schedules: int,
    *,
    jobs: int = 1,
    stop: Stop = lambda result: result.failed,
    bound: int = 2,
    tell: Tell = lambda progress: None,
) -> Progress:
    """Run up to so many schedules, until one is what to `stop` at; by default the first failure.

    `bound` is what the bounded strategy may spend on delays. The seed is the scenario's.
    """
    progress = Progress(schedules)
    if strategy == BOUNDED:
        _search(board, schedules, bound, stop, progress, tell)
        return progress
    corpus, horizon = Corpus(), HORIZON
    states: set[int] = set()
    with _workers(board, jobs) as run:
        while progress.done < schedules:
            first = progress.done
            count = min(ROUND, schedules - first)
            seed = board.scenario.seed
            plans = [
                plan(strategy, seed, index, corpus, horizon)
                for index in range(first, first + count)
            ]
            for result in run(plans):
                progress.take(result)
                if not result.windows:
                    corpus.add(result.choices, result.marks)
                    horizon = len(result.choices)
                states.update(state for state, _ in result.marks)
                progress.states = len(states)
                tell(progress)
                if stop(result):
                    return progress
    return progress


def run_plan(board: Board, wanted: Plan) -> Result:
    """Run one schedule, twice if it is one of the first."""
    check = wanted.index < CHECKED
    played = play(board, wanted.make(), cover=True, digest=check)
    windows = wanted.make().windows
    differs = _difference(board, played, windows) if check else ""
    return _result(wanted.index, wanted.strategy, wanted.seed, played, windows, differs)


def _difference(board: Board, played: Played, windows: bool) -> str:
    """How a schedule goes when its choices are made again, if it goes another way."""
    try:
        again = play(board, TapeStrategy(played.choices, windows), digest=True)
    except Diverged as error:
        return str(error)
    return "" if again.digest == played.digest else "every choice fits, but turns differ"


def _result(
    index: int, strategy: str, seed: int, played: Played, windows: bool, differs: str = ""
) -> Result:
    verdict = played.verdict
    assert isinstance(verdict, Verdict), "the strategy has not cut it off"
    return Result(
        index=index,
        strategy=strategy,
        seed=seed,
        verdict=verdict.verdict,
        crash=played.crash,
        findings=verdict.findings,
        reached=verdict.sometimes,
        choices=array("q", played.choices),
        windows=windows,
        marks=played.marks,
        stopped_ns=played.stopped_ns,
        differs=differs,
    )


# -- workers


Run = Callable[[Sequence[Plan]], Iterable[Result]]


@contextmanager
def _workers(board: Board, jobs: int) -> Iterator[Run]:
    """What runs a round: this process, or several of its own."""
    if jobs == 1:
        yield partial(map, partial(run_plan, board))
        return
    with ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=_begin, initargs=(encode(board),)
    ) as pool:
        try:
            yield partial(pool.map, _run_here)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_here: list[Board] = []


def _begin(board: bytes) -> None:
    _here.append(decoder(Board)(board))


def _run_here(wanted: Plan) -> Result:
    return run_plan(_here[0], wanted)


# -- search


def _calls_at_once(turn: Turn) -> bool:
    """The orders of a case of calls that matter begin where calls are made at the same time."""
    return any(
        isinstance(effect, Trace)
        and isinstance(effect.event, ScenarioStep)
        and effect.event.text.endswith(Together.__name__)
        for effect in turn.effects
    )


def _search(
    board: Board, schedules: int, bound: int, stop: Stop, progress: Progress, tell: Tell
) -> None:
    """Everything within the bound, or as much of it as the number of schedules allows."""
    search = Search(bound, _calls_at_once if board.vectors is not None else None)
    reached: set[int] = set()
    for strategy in search.strategies():
        check = progress.done < CHECKED
        played = play(board, strategy, follow=strategy.record, cover=True, digest=check)
        reached.update(state for state, _ in played.marks)
        progress.states, progress.worlds = len(reached), search.worlds
        enough = False
        if played.verdict is None:
            progress.done += 1
        else:
            differs = _difference(board, played, windows=True) if check else ""
            result = _result(progress.done, BOUNDED, 0, played, windows=True, differs=differs)
            progress.take(result)
            enough = stop(result)
        tell(progress)
        if enough or progress.done >= schedules:
            break
    progress.complete = search.is_complete
