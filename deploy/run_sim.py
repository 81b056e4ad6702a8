"""One run in the sim world: all nodes in this process, every choice on a tape."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bus.journal import Header, HubEvent, JournalWriter
from bus.world.sim import Outcome, World
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


@dataclass(frozen=True, slots=True)
class SimResult:
    """How a run ended, and where its journal and tape are.

    `crash` is what a node raised, if one did, and `outcome` is None then.
    """

    outcome: Outcome | None
    journal: Path
    tape: Path
    crash: str = ""


def tape_beside(journal: Path) -> Path:
    """Where the tape of a journal lies."""
    return journal.with_name(f"{journal.name}.tape")


def run_sim(
    board: Board,
    journal: Path,
    strategy: Strategy | None = None,
    name: str = "random",
    on_turn: Callable[[Turn], None] | None = None,
) -> SimResult:
    """Run a board until its world stops; writes the journal, and the tape beside it.

    Without a strategy a random one is seeded with the scenario's seed. When a node raises, the run
    ends there, and its tape leads there again.
    """
    seed = board.scenario.seed
    header = Header(world="sim", seed=seed, composition=board.composition, board=board)
    outcome, crash = None, ""
    with JournalWriter(journal, header) as writer:

        def record(turn: Turn) -> None:
            writer.append(turn)
            if on_turn is not None:
                on_turn(turn)

        chosen = strategy or RandomStrategy(seed)
        world = World(
            build_nodes(board),
            board.platform.latencies,
            chosen,
            record,
            permissions(board),
        )
        try:
            outcome = world.run(board.scenario.time_limit_ms * MS)
        except (Diverged, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a node raises ends its run, recorded
            crash = f"{type(error).__name__}: {' '.join(str(error).split())}"
            writer.append(HubEvent("peer_down", HUB, crash, world.now))
        finally:
            text = ENDINGS[outcome] if outcome else f"crashed: {crash}"
            writer.append(HubEvent("end", HUB, text, world.now))
            tape = Tape(
                composition=board.composition,
                board=board,
                strategy=name,
                seed=seed,
                choices=tuple(world.choices),
                windows=chosen.windows,
            )
            tape.write(tape_beside(journal))
    return SimResult(outcome, journal, tape_beside(journal), crash)
