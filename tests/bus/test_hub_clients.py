"""Clients of the hub: who joins, what they may send, and that their going harms nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_bench import LEFT, PE0, PE1, Bench, hello, turn

from bus.frames import Bye, Crash, Ended, Refused, Welcome, decode_to_host
from bus.hub import CLIENT_FRAMES, CLIENTS_MAX, Over
from proto.board import Board
from proto.codec import encode
from proto.ids import NodeId
from proto.messages import Load, Reply
from proto.traces import ScenarioEnded
from proto.turn import MessageId, Received, Send, SetTimer, Trace, Turn

ANN, BOB = b"\x00ann", b"\x00bob"
ONE, TWO = NodeId("client1"), NodeId("client2")


@pytest.fixture
def bench(tmp_path: Path, board: Board) -> Iterator[Bench]:
    """A running hub whose clients may send to pe0."""
    bench = Bench(tmp_path, board, clients_reach=(PE0,)).go()
    yield bench
    bench.journal.close()


def join(bench: Bench, connection: bytes = ANN) -> None:
    """A client says hello."""
    bench.hub.feed(connection, hello("client"))


def told(bench: Bench, connection: bytes) -> list[object]:
    """Frames that went to a connection."""
    return [decode_to_host(data) for to, data in bench.sent if to == connection]


def test_clients_are_given_nodes_in_order(bench: Bench) -> None:
    """With board time, and a record each."""
    join(bench, ANN)
    join(bench, BOB)

    assert told(bench, ANN)[0] == Welcome(ONE, 0, 1.0)
    assert told(bench, BOB)[0] == Welcome(TWO, 0, 1.0)
    assert bench.events()[2:] == [("client_up", ONE), ("client_up", TWO)]


def test_a_client_asks_and_is_answered(bench: Bench) -> None:
    """Its turns are journalled, its messages have identities like all others."""
    join(bench)
    bench.turn(ANN, turn(ONE, 0, Send(PE0, Load(1, 8))))
    (question,) = bench.delivered(LEFT)
    assert question.id.src == ONE
    bench.turn(LEFT, turn(PE0, 0, Send(ONE, Reply(1, 5)), cause=question.id))
    (answer,) = bench.delivered(ANN)
    bench.turn(ANN, turn(ONE, 1, seq=1, cause=answer.id))

    assert answer.body == Reply(1, 5)
    assert answer.cause == question.id
    turns = [record for record in bench.records() if isinstance(record, Turn)]
    assert [(t.node, t.number) for t in turns[1:]] == [(ONE, 0), (PE0, 0), (ONE, 1)]
    assert turns[-1].input == Received(MessageId(PE0, answer.id.incarnation, 0))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"token": "guessed"}, "does not belong to this run"),
        ({"composition": "other"}, "its composition is other"),
        ({"version": 99}, "interface version 99"),
    ],
)
def test_a_client_has_to_fit(bench: Bench, fields: dict[str, str], complaint: str) -> None:
    """Like any process."""
    bench.hub.feed(ANN, hello("client", **fields))  # type: ignore[arg-type]  # fields of a hello

    (refusal,) = told(bench, ANN)
    assert isinstance(refusal, Refused)
    assert complaint in refusal.reason
    assert bench.hub.over is None


def test_a_client_does_not_choose_its_node(bench: Bench) -> None:
    """It says no nodes in its hello."""
    bench.hub.feed(ANN, hello("client", PE1))

    assert told(bench, ANN) == [Refused("a client is given its node")]


def test_no_client_before_go(tmp_path: Path, board: Board) -> None:
    """There is nobody to answer."""
    early = Bench(tmp_path, board, clients_reach=(PE0,))
    join(early)
    early.journal.close()

    assert told(early, ANN) == [Refused("the board is not up yet")]


def test_a_run_that_ends_by_itself_takes_no_clients(tmp_path: Path, board: Board) -> None:
    """Only a plan with somebody to talk to does."""
    closed = Bench(tmp_path, board).go()
    join(closed)
    closed.journal.close()

    assert told(closed, ANN) == [Refused("clients cannot join this run")]


def test_who_says_goodbye_is_gone(bench: Bench) -> None:
    """What is still sent to it finds no taker, and the run goes on."""
    join(bench)
    bench.hub.feed(ANN, encode(Bye()))
    bench.turn(LEFT, turn(PE0, 0, Send(ONE, Reply(1, 5)), Send(PE1, Load(2, 8))))

    assert bench.delivered(ANN) == []
    assert bench.hub.over is None
    assert bench.events()[2:] == [("client_up", ONE), ("client_down", ONE)]


def test_a_client_that_died_is_noticed_by_its_answer(bench: Bench) -> None:
    """The board does not mind."""
    join(bench)
    bench.gone.add(ANN)
    bench.turn(LEFT, turn(PE0, 0, Send(ONE, Reply(1, 5))))
    bench.turn(LEFT, turn(PE0, 1, Send(ONE, Reply(2, 5)), seq=1))

    assert bench.hub.over is None
    assert bench.events()[2:] == [("client_up", ONE), ("client_down", ONE)]
    assert bench.hub.flush()


def test_clients_that_died_make_room(bench: Bench) -> None:
    """They are noticed at the latest when the next one comes."""
    crowd = [b"\x00%d" % number for number in range(CLIENTS_MAX)]
    for connection in crowd:
        join(bench, connection)
    join(bench, ANN)
    assert told(bench, ANN) == [Refused(f"there are {CLIENTS_MAX} clients already")]
    bench.gone.update(crowd[:2])
    join(bench, BOB)

    assert isinstance(told(bench, BOB)[0], Welcome)
    assert bench.hub.counts["client_down"] == 2


def test_a_client_that_does_not_read_is_dropped(bench: Bench) -> None:
    """Its queue is bounded like that of a process, but it takes nobody with it."""
    join(bench)
    bench.full.add(ANN)
    for number in range(11):
        bench.turn(LEFT, turn(PE0, number, Send(ONE, Reply(1)), seq=number))

    assert bench.hub.over is None
    assert bench.events()[2:] == [("client_up", ONE), ("client_down", ONE)]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (b"\xc1 junk", "not a frame"),
        (hello("client"), "a client does not say Hello"),
        (encode(Crash(ONE, "oops")), "a client does not say Crash"),
        (encode(turn(PE0, 0)), "sent a turn of pe0"),
        (encode(turn(TWO, 0)), "sent a turn of client2"),
        (encode(turn(ONE, 1)), "expected turn 0"),
        (encode(turn(ONE, 0, seq=1)), "from message 1"),
        (encode(turn(ONE, 0, Send(PE1, Load(1, 8)))), "a client only sends to pe0"),
        (encode(turn(ONE, 0, Send(NodeId("x"), Load(1, 8)))), "a client only sends to pe0"),
        (encode(turn(ONE, 0, Trace(ScenarioEnded("done")))), "a client only sends to pe0"),
        (encode(turn(ONE, 0, SetTimer("t", 0, 0))), "a client only sends to pe0"),
    ],
)
def test_a_faulty_client_is_dropped_and_told(bench: Bench, frame: bytes, complaint: str) -> None:
    """The run goes on, and nothing of that frame is in it."""
    join(bench)
    bench.hub.feed(ANN, frame)

    last = told(bench, ANN)[-1]
    assert isinstance(last, Refused)
    assert complaint in last.reason
    assert bench.hub.over is None
    assert bench.events()[2:] == [("client_up", ONE), ("client_down", ONE)]
    assert bench.delivered(LEFT) == []


def test_a_dropped_client_is_a_stranger(bench: Bench) -> None:
    """It may come back only as somebody new."""
    join(bench)
    bench.hub.feed(ANN, encode(Bye()))
    bench.hub.feed(ANN, encode(turn(ONE, 0)))
    assert bench.hub.refusals.count == 1
    join(bench, BOB)

    assert told(bench, BOB)[-1] == Welcome(TWO, 0, 1.0)


def test_a_client_that_sends_too_much_is_dropped(bench: Bench) -> None:
    """Its beat's share used up, it is gone; one that keeps to it stays."""
    join(bench)
    for number in range(CLIENT_FRAMES):
        bench.turn(ANN, turn(ONE, number))
    bench.hub.beat(lambda pulse: True, 0)
    for number in range(CLIENT_FRAMES):
        bench.turn(ANN, turn(ONE, CLIENT_FRAMES + number))
    assert bench.events()[-1] == ("client_up", ONE)
    bench.turn(ANN, turn(ONE, 2 * CLIENT_FRAMES))

    assert bench.events()[-1] == ("client_down", ONE)
    assert told(bench, ANN)[-1] == Refused(f"more than {CLIENT_FRAMES} frames in a beat")
    assert bench.hub.over is None


def test_clients_are_told_of_the_end(bench: Bench) -> None:
    """Nobody ends their processes for them."""
    join(bench, ANN)
    join(bench, BOB)
    bench.gone.add(BOB)
    bench.turn(LEFT, turn(PE0, 0, Trace(ScenarioEnded("done"))))

    assert bench.hub.over == Over("ended", "done")
    assert told(bench, ANN)[-1] == Ended("done")
