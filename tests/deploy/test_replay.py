"""Replay of journals: the nodes alone, and all of them in a forced order."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from bus.journal import Journal, JournalWriter, read_journal
from bus.replay import replay_forced, replay_nodes
from bus.world.sim import Outcome
from bus.world.strategies import FifoStrategy
from bus.world.tape import read_tape
from deploy.cli.main import app
from deploy.composition import build_node, build_nodes
from deploy.loading import resolve
from deploy.run_sim import run_sim
from proto.board import Board
from proto.ids import BoardNs, NodeId
from proto.turn import Effect, Envelope, Fired, Received, Send, Turn

Change = Callable[[Turn], bool]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    """A calm run of the baseline."""
    path = tmp_path_factory.mktemp("run") / "journal"
    result = run_sim(resolve("baseline"), path, FifoStrategy(), "fifo")
    assert result.outcome is Outcome.ENDED
    return read_journal(path)


def position_of(journal: Journal, wanted: Change) -> int:
    """Position of the first turn that fits."""
    return next(
        position
        for position, record in enumerate(journal.records)
        if isinstance(record, Turn) and wanted(record)
    )


def changed(journal: Journal, position: int, **fields: object) -> Journal:
    """The journal with one turn altered."""
    records = list(journal.records)
    records[position] = msgspec.structs.replace(records[position], **fields)
    return replace(journal, records=records)


def without(journal: Journal, position: int) -> Journal:
    """The journal with one record removed."""
    return replace(journal, records=journal.records[:position] + journal.records[position + 1 :])


def test_every_turn_replays_node_by_node(journal: Journal) -> None:
    """A node is a function of its inputs."""
    replayed = replay_nodes(journal, build_node)

    assert replayed.difference is None
    assert replayed.turns == sum(isinstance(record, Turn) for record in journal.records)


def test_the_recorded_order_can_be_forced(journal: Journal) -> None:
    """And gives the same turns."""
    turns: list[Turn] = []
    replayed = replay_forced(journal, build_nodes(journal.header.board), turns.append)

    assert replayed.difference is None
    assert turns == [record for record in journal.records if isinstance(record, Turn)]


def test_an_altered_effect_is_the_first_difference(journal: Journal) -> None:
    """With its position, node, turn, and both sides."""
    position = position_of(journal, lambda turn: turn.node == "gicd" and bool(turn.effects))
    difference = replay_nodes(changed(journal, position, effects=()), build_node).difference

    assert difference is not None
    assert (difference.position, difference.node) == (position, "gicd")
    assert difference.expected == "nothing more"
    assert difference.got.startswith("Send(")


def test_a_node_that_behaves_differently_is_found(journal: Journal) -> None:
    """As after a change of its code."""

    class Deaf:
        """An operator that does nothing."""

        id = NodeId("operator")

        def on_start(self, now: BoardNs) -> Sequence[Effect]:
            return ()

        def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
            return ()

        def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
            raise LookupError(timer)

    def build(board: Board, node: NodeId) -> object:
        return Deaf() if node == "operator" else build_node(board, node)

    difference = replay_nodes(journal, build).difference  # type: ignore[arg-type] # a fake node

    assert difference is not None
    assert difference.node == "operator"
    assert difference.got == "nothing more"


def test_an_input_that_was_never_sent_is_a_difference(journal: Journal) -> None:
    """A journal with a hole."""
    position = position_of(
        journal,
        lambda turn: turn.node == "scp" and any(isinstance(e, Send) for e in turn.effects),
    )
    holed = without(journal, position)

    alone = replay_nodes(holed, build_node).difference
    together = replay_forced(holed, build_nodes(journal.header.board), lambda turn: None).difference

    assert alone is not None
    assert together is not None
    assert "not pending" in together.got or "due" in together.got


def test_a_message_that_overtakes_is_refused(journal: Journal) -> None:
    """Each forced delivery must be the head of its link."""
    position = position_of(
        journal,
        lambda turn: isinstance(turn.input, Received) and turn.input.message.seq == 0,
    )
    turn = journal.records[position]
    assert isinstance(turn, Turn)
    assert isinstance(turn.input, Received)
    later = msgspec.structs.replace(turn.input.message, seq=1)
    forged = changed(journal, position, input=Received(later))
    difference = replay_forced(
        forged, build_nodes(journal.header.board), lambda turn: None
    ).difference

    assert difference is not None
    assert difference.position == position
    assert difference.got.startswith("Diverged")


def test_a_timer_that_fires_early_is_refused(journal: Journal) -> None:
    """It may be late."""
    position = position_of(journal, lambda turn: isinstance(turn.input, Fired) and turn.now > 9)
    nodes = build_nodes(journal.header.board)
    forged = changed(journal, position, now=1)
    difference = replay_forced(forged, nodes, lambda turn: None).difference

    assert difference is not None
    assert "was not due before" in difference.got


def test_a_crash_is_recorded_and_leads_to_its_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a node raises ends its run, with evidence."""

    class Broken:
        """A power controller with a defect."""

        id = NodeId("scp")

        def on_start(self, now: BoardNs) -> Sequence[Effect]:
            raise ZeroDivisionError("rail 0")

        on_message = on_timer = on_start  # never reached

    board = resolve("baseline")
    nodes = {**build_nodes(board), NodeId("scp"): Broken()}
    monkeypatch.setattr("deploy.run_sim.build_nodes", lambda of: nodes)
    result = run_sim(board, tmp_path / "journal")
    read = read_journal(result.journal)

    assert result.outcome is None
    assert result.crash == "ZeroDivisionError: rail 0"
    assert result.tape.exists()
    assert [record.kind for record in read.records if not isinstance(record, Turn)] == [
        "peer_down",
        "end",
    ]


def stopped(folder: Path) -> Path:
    """The tape of a run that was stopped in the middle, its journal beside it."""
    return run_sim(
        resolve("baseline"), folder / "journal", FifoStrategy(), limit_ns=10_000_000
    ).tape


def replayed(*arguments: str | Path) -> Result:
    """`torpor replay` in this process."""
    return CliRunner().invoke(app, ["replay", *map(str, arguments)], prog_name="torpor")


def test_a_stopped_run_is_repeated_up_to_where_it_was_stopped(tmp_path: Path) -> None:
    """To the byte; it proves nothing about what would have come."""
    tape = stopped(tmp_path)
    result = replayed(tape)

    assert 0 < read_tape(tape).stopped_ns <= 10_000_000
    assert result.exit_code == 3, result.output
    assert "to the byte" in result.stderr


def test_the_journal_of_a_replay_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    """The same bytes as the run's own."""
    tape = stopped(tmp_path)
    replayed(tape, "--journal", tmp_path / "again")

    assert (tmp_path / "again").read_bytes() == (tmp_path / "journal").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda choices: choices[:-1], "the tape does not fit: the tape ends after"),
        (lambda choices: (*choices, 0), "before the tape"),
        (lambda choices: (10**9, *choices[1:]), "the tape does not fit: choice 0 on the tape is"),
    ],
)
def test_a_tape_that_does_not_fit_says_where(
    change: Callable[[tuple[int, ...]], tuple[int, ...]], said: str, tmp_path: Path
) -> None:
    """Too short, too long, or another run's: with the number of the choice."""
    tape = read_tape(stopped(tmp_path))
    altered = tmp_path / "altered.tape"
    msgspec.structs.replace(tape, choices=change(tape.choices)).write(altered)
    result = replayed(altered)

    assert result.exit_code == 1, result.output
    assert said in result.stderr


def test_a_journal_that_differs_is_told_with_its_record(tmp_path: Path) -> None:
    """The file beside the tape is compared record by record."""
    tape = stopped(tmp_path)
    path = tmp_path / "journal"
    read = read_journal(path)
    with JournalWriter(path, read.header) as writer:
        for record in read.records[:-2]:
            writer.append(record)
    result = replayed(tape)

    assert result.exit_code == 1, result.output
    assert f"the journal had {len(read.records) - 2} records, and has now" in result.stderr
