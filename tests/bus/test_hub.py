"""The hub's core without sockets: who is let in, what is checked, where turns and messages go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_bench import LEFT, ONE, PE0, PE1, RIGHT, Bench, hello, turn

from bus.frames import Crash, Go, Refused, decode_to_host
from bus.hub import Over
from bus.journal import HubEvent
from bus.refusals import JOURNALLED
from proto.board import Board
from proto.codec import encode
from proto.ids import DRAM, Incarnation, NodeId
from proto.messages import Load, Reply
from proto.traces import ScenarioEnded
from proto.turn import (
    Envelope,
    MessageId,
    Send,
    Start,
    Trace,
    Turn,
)


@pytest.fixture
def bench(tmp_path: Path, board: Board) -> Iterator[Bench]:
    """A hub before any hello, whose queues hold ten messages."""
    bench = Bench(tmp_path, board)
    yield bench
    bench.journal.close()


def test_go_comes_when_all_are_there(bench: Bench) -> None:
    """Every process is told to go once the last has said hello, and dram starts."""
    bench.hub.feed(LEFT, hello("left", PE0))
    assert not bench.hub.complete
    bench.hub.feed(RIGHT, hello("right", PE1))
    bench.hub.start(Go(99, 2.0))

    assert [(to, decode_to_host(data)) for to, data in bench.sent] == [
        (LEFT, Go(99, 2.0)),
        (RIGHT, Go(99, 2.0)),
    ]
    records = bench.records()
    assert [getattr(record, "kind", "") for record in records] == ["peer_up", "peer_up", ""]
    assert isinstance(records[2], Turn)
    assert records[2].node == DRAM


def test_a_message_crosses_with_its_identity_and_cause(bench: Bench) -> None:
    """Sends are numbered from first_seq in their order and carry the turn's input as cause."""
    bench.go().turn(LEFT, turn(PE0, 0, Send(PE1, Load(1, 8)), Send(PE1, Load(2, 8))))
    bench.turn(RIGHT, turn(PE1, 0, Send(PE0, Reply(1)), cause=MessageId(PE0, ONE, 0)))

    assert bench.delivered(RIGHT) == [
        Envelope(MessageId(PE0, ONE, 0), PE1, None, Load(1, 8)),
        Envelope(MessageId(PE0, ONE, 1), PE1, None, Load(2, 8)),
    ]
    assert bench.delivered(LEFT) == [
        Envelope(MessageId(PE1, ONE, 0), PE0, MessageId(PE0, ONE, 0), Reply(1))
    ]


def test_own_nodes_answer_without_a_hop(bench: Bench) -> None:
    """dram's turn is journalled right behind the turn that it answers."""
    bench.go().turn(LEFT, turn(PE0, 0, Send(DRAM, Load(5, 8))))

    [answer] = bench.delivered(LEFT)
    assert answer.body == Reply(5, 42)
    assert answer.cause == MessageId(PE0, ONE, 0)
    turns = [record for record in bench.records() if isinstance(record, Turn)]
    assert [(t.node, t.number) for t in turns] == [(DRAM, 0), (PE0, 0), (DRAM, 1)]


def test_timers_of_own_nodes_fire(bench: Bench) -> None:
    """A timer of dram fires when board time has reached it, not before."""
    bench.go()
    bench.now = 499
    bench.hub.fire()
    assert not bench.delivered(RIGHT)
    bench.now = 500
    bench.hub.fire()
    bench.hub.flush()

    assert [envelope.body for envelope in bench.delivered(RIGHT)] == [Reply(0, 7)]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (hello("left", PE0, token="guessed"), "does not belong to this run"),
        (hello("left", PE0, composition="other"), "its composition is other, the hub's c0ffee"),
        (hello("left", PE0, version=99), "interface version 99"),
        (hello("middle", PE0), "no process of this name"),
        (hello("left", PE1), "hosts pe1, expected pe0"),
        (encode(turn(PE0, 0)), "not a hello"),
        (b"", "not a hello"),
        (b"\xff\xff", "not a hello"),
    ],
    ids=["token", "composition", "version", "name", "nodes", "turn", "empty", "junk"],
)
def test_who_does_not_belong_is_refused(bench: Bench, frame: bytes, complaint: str) -> None:
    """A refusal is answered and journalled; it does not stop the run."""
    bench.hub.feed(b"x", frame)

    [(to, answer)] = bench.sent
    refusal = decode_to_host(answer)
    assert to == b"x"
    assert isinstance(refusal, Refused)
    assert complaint in refusal.reason
    assert bench.hub.over is None
    assert bench.hub.refusals.count == 1


def test_a_second_process_of_a_name_is_refused(bench: Bench) -> None:
    """Nobody takes the place of a process that is there."""
    bench.go().hub.feed(b"x", hello("left", PE0))

    assert [to for to, _ in bench.sent] == [b"x"]
    assert bench.hub.over is None


def test_many_strangers_are_counted_without_filling_the_journal(bench: Bench) -> None:
    """Records of refusals are bounded, their count is not."""
    for number in range(JOURNALLED + 50):
        bench.hub.feed(b"x%d" % number, b"junk")

    assert len(bench.events()) == JOURNALLED
    assert bench.hub.refusals.count == JOURNALLED + 50
    bench.hub.stop("enough")
    last, _ = [record for record in bench.records() if isinstance(record, HubEvent)][-2:]
    assert last.text == f"{JOURNALLED + 50} refusals in all"


def test_nothing_more_is_read_of_a_stranger(bench: Bench) -> None:
    """His first frame is refused and journalled, the others are only counted."""
    for _ in range(50):
        bench.hub.feed(b"x", hello("nobody"))

    assert len(bench.events()) == 1
    assert len(bench.sent) == 1
    assert bench.hub.refusals.count == 50


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"\xc1", "undecodable"),
        (encode(["turn", "pe0", 1]), "undecodable"),
        (encode(turn(PE0, 1)), "stale"),
        (encode(turn(PE0, 0, seq=3)), "stale"),
        (encode(Turn(PE0, Incarnation(2), 0, Start(), 0, 0, ())), "stale"),
        (encode(turn(PE1, 0)), "unauthorised"),
        (encode(turn(DRAM, 1)), "unauthorised"),
        (encode(turn(PE0, 0, Send(NodeId("pe9"), Load(1, 8)))), "undeliverable"),
        (encode(turn(PE0, 0, Send(DRAM, Reply(1)))), "peer_down"),
        (hello("left", PE0), "unauthorised"),
    ],
    ids=[
        "junk",
        "short turn",
        "turn skipped",
        "message skipped",
        "incarnation",
        "another's turn",
        "the hub's turn",
        "unknown node",
        "node raises",
        "hello again",
    ],
)
def test_faulty_frames_of_our_own_stop_the_run(bench: Bench, frame: bytes, kind: str) -> None:
    """What one of our processes must not send is journalled and ends the run."""
    bench.go().hub.feed(LEFT, frame)

    assert bench.hub.over is not None
    assert bench.hub.over.outcome == "crashed"
    assert [event[0] for event in bench.events()[2:]] == [kind, "end"]


def test_a_repeated_turn_is_stale(bench: Bench) -> None:
    """The same turn twice is not accepted twice."""
    bench.go().turn(LEFT, turn(PE0, 0, Send(PE1, Load(1, 8))))
    bench.turn(LEFT, turn(PE0, 0, Send(PE1, Load(1, 8))))

    assert bench.events()[2:] == [("stale", PE0), ("end", "hub")]
    assert len(bench.delivered(RIGHT)) == 1


def test_turns_before_go_are_stale(bench: Bench) -> None:
    """No node runs before all processes are there."""
    bench.hub.feed(LEFT, hello("left", PE0))
    bench.hub.feed(LEFT, encode(turn(PE0, 0)))

    assert ("stale", PE0) in bench.events()


def test_a_full_connection_does_not_hold_up_others(bench: Bench) -> None:
    """Messages for a process that does not read wait, in order; others get theirs."""
    bench.go().full.add(LEFT)
    bench.turn(RIGHT, turn(PE1, 0, Send(PE0, Load(1, 8)), Send(PE1, Load(2, 8))))
    assert not bench.delivered(LEFT)
    assert [envelope.body for envelope in bench.delivered(RIGHT)] == [Load(2, 8)]
    assert not bench.hub.flush()
    bench.full.clear()
    bench.turn(RIGHT, turn(PE1, 1, Send(PE0, Load(3, 8)), seq=2))

    assert [envelope.body for envelope in bench.delivered(LEFT)] == [Load(1, 8), Load(3, 8)]
    assert bench.hub.flush()


def test_an_overflow_is_journalled_and_stops_the_run(bench: Bench) -> None:
    """The queue of a process is bounded."""
    bench.go().full.add(LEFT)
    for number in range(11):
        bench.turn(RIGHT, turn(PE1, number, Send(PE0, Load(1, 8)), seq=number))

    assert bench.events()[2:] == [("overflow", "left"), ("end", "hub")]


def test_a_process_that_is_gone_stops_the_run(bench: Bench) -> None:
    """A message for a dead process is undeliverable, once its own last frames have been read."""
    bench.go().gone.add(RIGHT)
    bench.turn(LEFT, turn(PE0, 0, Send(PE1, Load(1, 8))))
    assert bench.hub.over is None
    bench.hub.flush()

    assert bench.hub.over == Over("died", "right: the process is gone", "right")
    assert bench.events()[2:] == [("undeliverable", "right"), ("end", "hub")]


def test_what_a_gone_process_said_last_is_heard(bench: Bench) -> None:
    """Its crash frame says more than that it is gone."""
    bench.go().gone.add(RIGHT)
    bench.turn(LEFT, turn(PE0, 0, Send(PE1, Load(1, 8))))
    bench.hub.feed(RIGHT, encode(Crash(PE1, "ProtocolError: no")))

    assert bench.hub.over == Over("crashed", "right: pe1: ProtocolError: no", "right")
    assert bench.events()[2:] == [("peer_down", "right"), ("end", "hub")]


def test_the_end_of_the_scenario_is_noticed(bench: Bench) -> None:
    """ScenarioEnded ends the run behind the turn that carries it; later frames are ignored."""
    bench.go().turn(LEFT, turn(PE0, 0, Trace(ScenarioEnded("done"))))
    bench.turn(RIGHT, turn(PE1, 0, Send(PE0, Load(1, 8))))

    assert bench.hub.over == Over("ended", "done")
    last, end = bench.records()[-2:]
    assert isinstance(last, Turn)
    assert last.node == PE0
    assert isinstance(end, HubEvent)
    assert (end.kind, end.text) == ("end", "ended: done")
