"""One run in the sim world: all nodes in this process, every choice on a tape."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bus.journal import Header, HubEvent, JournalWriter
from bus.world.bounded import CutOff
from bus.world.sim import Outcome, Watcher, World
from bus.world.strategies import Diverged, RandomStrategy, Strategy
from bus.world.tape import Tape
from deploy.composition import build_nodes
from proto.board import Board
from proto.ids import HUB
from proto.permissions import permissions
from proto.turn import Turn
from proto.units import MS

ENDINGS = {
    Outcome.ENDED: "ended: the scenario has been carried out",
    Outcome.QUIESCENT: "quiescent: nothing more can happen",
    Outcome.TIME_LIMIT: "time limit: board time has run out",
}
STOPPED = "stopped: somebody had seen enough"
"""The end of a run that was stopped before its time limit."""

SLICE_NS = 2 * MS
"""How much board time passes between two looks at whether it is enough."""


@dataclass(frozen=True, slots=True)
class SimResult:
    """How a run ended, and where its journal and tape are.

    `crash` is what a node raised, if one did, and `outcome` is None then.
    """

    outcome: Outcome | None
    journal: Path
    tape: Path
    crash: str = ""


class Simulation:
    """A board in the sim world.

    `run` may be asked to stop before the scenario's time limit: by `limit_ns` of board time, or by
    `enough`, which is asked now and then and gives the limit from then on, or None.
    """

    def __init__(
        self,
        board: Board,
        strategy: Strategy,
        record: Callable[[Turn], None] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        latencies = board.platform.latencies
        nodes = build_nodes(board)
        self.world = World(nodes, latencies, strategy, record, permissions(board), watch)
        self.windows = strategy.windows
        self.outcome: Outcome | None = None
        self.crash = ""
        self.stopped_ns = 0
        """Where it was stopped; 0 if it came to its own end."""
        self._limit_ns = board.scenario.time_limit_ms * MS

    def run(
        self, limit_ns: int = 0, enough: Callable[[int], int | None] = lambda now: None
    ) -> None:
        """Run to the end. Whatever a node raises ends the run and is kept as `crash`."""
        limit = min(limit_ns or self._limit_ns, self._limit_ns)
        try:
            self.outcome = self._run(limit, enough)
        except (Diverged, CutOff, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a node raises ends its run, recorded
            self.crash = f"{type(error).__name__}: {' '.join(str(error).split())}"

    def _run(self, limit: int, enough: Callable[[int], int | None]) -> Outcome:
        world = self.world
        outcome = Outcome.TIME_LIMIT
        reached = 0
        while outcome is Outcome.TIME_LIMIT and reached < limit:
            # Where nothing happens for long there is nothing to look at either.
            reached = min(max(reached, world.due_ns) + SLICE_NS, limit)
            outcome = world.run(reached)
            if (earlier := enough(world.now)) is not None and earlier < limit:
                limit = max(earlier, reached)
                enough = _never
        if outcome is Outcome.TIME_LIMIT and limit < self._limit_ns:
            self.stopped_ns = limit
        return outcome

    @property
    def ending(self) -> str:
        """How it ended, for the journal's last record."""
        if self.crash:
            return f"crashed: {self.crash}"
        if self.stopped_ns:
            return STOPPED
        return ENDINGS[self.outcome] if self.outcome else "crashed: interrupted"

    def tape(self, board: Board, name: str) -> Tape:
        """Everything that leads here again."""
        return Tape(
            composition=board.composition,
            board=board,
            strategy=name,
            seed=board.scenario.seed,
            choices=tuple(self.world.choices),
            windows=self.windows,
            stopped_ns=self.stopped_ns,
        )


def _never(now: int) -> None:
    return None


def tape_beside(journal: Path) -> Path:
    """Where the tape of a journal lies."""
    return journal.with_name(f"{journal.name}.tape")


def run_sim(
    board: Board,
    journal: Path,
    strategy: Strategy | None = None,
    name: str = "random",
    on_turn: Callable[[Turn], None] | None = None,
    limit_ns: int = 0,
) -> SimResult:
    """Run a board until its world stops; writes the journal, and the tape beside it.

    Without a strategy a random one is seeded with the scenario's seed. When a node raises, the run
    ends there, and its tape leads there again. `limit_ns` stops it before the scenario's limit.
    """
    seed = board.scenario.seed
    header = Header(world="sim", seed=seed, composition=board.composition, board=board)
    with JournalWriter(journal, header) as writer:

        def record(turn: Turn) -> None:
            writer.append(turn)
            if on_turn is not None:
                on_turn(turn)

        simulation = Simulation(board, strategy or RandomStrategy(seed), record)
        try:
            simulation.run(limit_ns)
        finally:
            now = simulation.world.now
            if simulation.crash:
                writer.append(HubEvent("peer_down", HUB, simulation.crash, now))
            writer.append(HubEvent("end", HUB, simulation.ending, now))
            simulation.tape(board, name).write(tape_beside(journal))
    return SimResult(simulation.outcome, journal, tape_beside(journal), simulation.crash)
