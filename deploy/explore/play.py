"""One schedule in memory: the board runs under a strategy and is judged on the way."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bus.journal import HubEvent
from bus.world.bounded import CutOff
from bus.world.strategies import Strategy
from deploy.run_sim import Simulation
from proto.board import Board
from proto.codec import encode
from proto.ids import HUB
from proto.turn import Turn
from proto.units import MS
from services.monitor.coverage import Coverage
from services.monitor.verdict import Judge, Verdict

GRACE_NS = 5 * MS
"""Board time for which a schedule goes on after a surprise: what follows from it is told too."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a schedule.

    `verdict` is None if the strategy cut it off; `crash` is what a node raised. `marks` are the
    states it reached, with the number of choices before each. `stopped_ns` is where it was stopped
    because it had failed already, 0 if it came to its own end; `ended_ns` is where it ended.
    """

    verdict: Verdict | None
    crash: str
    choices: Sequence[int]
    marks: Sequence[tuple[int, int]]
    digest: str
    stopped_ns: int
    ended_ns: int


def play(
    board: Board,
    strategy: Strategy,
    *,
    cover: bool = False,
    digest: bool = False,
    follow: Callable[[Turn], None] | None = None,
    limit_ns: int = 0,
) -> Played:
    """Run and judge one schedule; it stops soon after the first surprise, or at `limit_ns`.

    `cover` collects marks, `digest` hashes every turn, `follow` sees every turn. Raises `Diverged`
    if a tape does not fit.
    """
    simulation: Simulation
    coverage = Coverage(board, lambda: len(simulation.world.choices)) if cover else None
    judge = Judge(board, "sim", () if coverage is None else (coverage,))
    seen = hashlib.blake2b(digest_size=16) if digest else None
    simulation = Simulation(board, strategy, _recorder(seen, follow), judge.watch)
    choices = simulation.world.choices

    def enough(now: int) -> int | None:
        return now + GRACE_NS if judge.is_surprised else None

    is_cut_off = False
    try:
        simulation.run(limit_ns, enough)
    except CutOff:
        is_cut_off = True
    marks = () if coverage is None else tuple(coverage.marks.items())
    if is_cut_off:
        return Played(None, "", choices, marks, "", 0, simulation.world.now)
    crash = simulation.crash
    judge.feed(HubEvent("end", HUB, simulation.ending, simulation.world.now))
    verdict = judge.conclude(False, crash, healthy=not crash)
    hashed = seen.hexdigest() if seen else ""
    ended_ns = simulation.world.now
    return Played(verdict, crash, choices, marks, hashed, simulation.stopped_ns, ended_ns)


def _recorder(
    seen: "hashlib.blake2b | None", follow: Callable[[Turn], None] | None
) -> Callable[[Turn], None] | None:
    """For those who look at every turn."""
    if seen is None:
        return follow

    def record(turn: Turn) -> None:
        seen.update(encode(turn))
        if follow is not None:
            follow(turn)

    return record
