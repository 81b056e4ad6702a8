"""Replay of journals with clients: their turns are inputs, what the board did is compared."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from bus.journal import Header, Journal, JournalWriter, read_journal
from bus.replay import replay_forced, replay_nodes
from bus.world.sim import Outcome, World
from bus.world.strategies import FifoStrategy
from deploy.composition import build_node, build_nodes
from deploy.loading import resolve
from proto.ids import OPERATOR, BoardNs, NodeId
from proto.messages import AwaitSteps, EndScenario, Operate, OperateResult, ReadConsole
from proto.scenario import Step, XlCommand
from proto.turn import Effect, Envelope, Send, Turn
from proto.units import S
from services.monitor.verdict import judge

ANN = NodeId("client1")


class Person:
    """Waits for the board, lists the domains, looks at Xen's console, ends the scenario."""

    id = ANN

    def __init__(self) -> None:
        self.answers: list[OperateResult] = []

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return [Send(OPERATOR, AwaitSteps(0))]

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        assert isinstance(envelope.body, OperateResult)
        self.answers.append(envelope.body)
        wishes = (
            Operate(1, Step(xl=XlCommand(command="list"))),
            ReadConsole(2, -1, -1),
            EndScenario(3),
        )
        return [Send(OPERATOR, wishes[envelope.body.tx])]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        raise AssertionError(timer)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    """An open board with one client, in the simulator."""
    board = resolve("board")
    opened = msgspec.structs.replace(board.scenario, open=True)
    board = msgspec.structs.replace(board, scenario=opened)
    path = tmp_path_factory.mktemp("run") / "journal"
    person = Person()
    header = Header(world="sim", seed=0, composition=board.composition, board=board)
    with JournalWriter(path, header) as writer:
        nodes = {**build_nodes(board), ANN: person}
        world = World(nodes, board.platform.latencies, FifoStrategy(), writer.append)
        assert world.run(60 * S) is Outcome.ENDED
    ready, listed, printed = person.answers
    assert (ready.ok, listed.status) == (True, 0)
    assert any("Domain-0" in line for line in listed.lines)
    assert printed.lines[0].startswith("(XEN)")
    return read_journal(path)


def test_a_session_replays(journal: Journal) -> None:
    """Node by node and in the recorded order."""
    alone = replay_nodes(journal, build_node)
    turns: list[Turn] = []
    board = journal.header.board
    together = replay_forced(journal, build_nodes(board), turns.append)

    assert alone.difference is together.difference is None
    assert alone.turns == together.turns == len(journal.records)
    assert turns == journal.records


def test_a_session_is_judged_like_a_run(journal: Journal) -> None:
    """The scenario is done when the person says so."""
    verdict = judge(journal)

    assert verdict.verdict == "pass", verdict.trouble
    assert verdict.properties["scenario"] == "pass"


def test_another_wish_leads_elsewhere(journal: Journal) -> None:
    """The operator is not a person: its answer to something else differs."""
    position, turn = next(
        (position, record)
        for position, record in enumerate(journal.records)
        if isinstance(record, Turn)
        and any(isinstance(e, Send) and isinstance(e.body, ReadConsole) for e in record.effects)
    )
    wish = Send(OPERATOR, ReadConsole(2, 0, -1))
    records = list(journal.records)
    records[position] = msgspec.structs.replace(turn, effects=(wish,))
    difference = replay_nodes(replace(journal, records=records), build_node).difference

    assert difference is not None
    assert difference.node == OPERATOR
