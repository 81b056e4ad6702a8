"""The hub's core against impostors, forgers and floods, and its look at signs of life."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_bench import LEFT, PE0, PE1, RIGHT, Bench, hello, turn

from bus import hub as module
from bus.frames import Bye, Ended, Go, Ping, Pong, Refused, decode_to_host
from bus.hub import Over
from bus.journal import HubEvent
from bus.keys import Keyring
from bus.vitals import SILENCE_BEATS, SLOW_BEATS
from proto.board import Board
from proto.codec import encode
from proto.ids import NodeId
from proto.messages import Load, Reply
from proto.permissions import Rules
from proto.turn import Send

RING = Keyring(hub="h", processes={"left": "l", "right": "r"}, client="c")


def alive(_pulse: bytes) -> bool:
    """Every pulse can be felt."""
    return True


@pytest.fixture
def bench(tmp_path: Path, board: Board) -> Iterator[Bench]:
    """A secured hub before any hello."""
    bench = Bench(tmp_path, board, (PE0,), RING)
    yield bench
    bench.journal.close()


@pytest.fixture
def open_bench(tmp_path: Path, board: Board) -> Iterator[Bench]:
    """A running hub without keys."""
    bench = Bench(tmp_path, board).go()
    yield bench
    bench.journal.close()


def texts(bench: Bench, kind: str) -> list[tuple[str, str]]:
    """Who and what of the hub's records of a kind."""
    events = [record for record in bench.records() if isinstance(record, HubEvent)]
    return [(event.who, event.text) for event in events if event.kind == kind]


# -- identities


def test_the_key_says_who_somebody_is(bench: Bench) -> None:
    """Processes that are who they say to be are taken in."""
    bench.hub.feed(LEFT, hello("left", PE0), "l")
    bench.hub.feed(RIGHT, hello("right", PE1), "r")

    assert bench.hub.complete


@pytest.mark.parametrize(
    ("says", "key", "is_"),
    [("left", "r", "right"), ("client", "r", "right"), ("left", "c", "client")],
)
def test_an_impostor_is_refused_under_his_own_name(
    bench: Bench, says: str, key: str, is_: str
) -> None:
    """What an envelope says does not matter."""
    bench.hub.feed(b"x", hello(says, PE0), key)

    assert texts(bench, "unauthorised") == [(is_, f"it says to be {says}")]
    assert [decode_to_host(data) for to, data in bench.sent if to == b"x"] == [
        Refused(f"it says to be {says}")
    ]


def test_a_stranger_is_nobody(bench: Bench) -> None:
    """Without a key of this run no token helps."""
    bench.hub.feed(b"x", hello("left", PE0), "somebody")

    assert texts(bench, "unauthorised") == [("stranger", "it says to be left")]


def test_a_turn_of_somebody_elses_node_ends_the_run(bench: Bench) -> None:
    """A process of the board that speaks for another is broken."""
    bench.hub.feed(LEFT, hello("left", PE0), "l")
    bench.hub.feed(RIGHT, hello("right", PE1), "r")
    bench.hub.start(Go(0, 1.0))
    bench.turn(RIGHT, turn(PE0, 0))

    assert bench.hub.over == Over("crashed", "right: sent a turn of pe0", "right")


# -- what may be sent


def test_what_may_not_be_sent_is_refused_and_the_run_goes_on(tmp_path: Path, board: Board) -> None:
    """It is counted and journalled; what is allowed passes, in the same turn too."""
    allowed: dict[tuple[NodeId, NodeId], Rules] = {(PE0, PE1): {Load: lambda body: body.tx < 9}}

    def may_send(src: NodeId, dst: NodeId) -> Rules:
        return allowed.get((src, dst), {})

    bench = Bench(tmp_path, board, may_send=may_send).go()
    bench.turn(LEFT, turn(PE0, 0, Send(PE1, Reply(1)), Send(PE1, Load(2, 8))))
    bench.turn(RIGHT, turn(PE1, 0, Send(PE0, Load(1, 8))))
    bench.turn(LEFT, turn(PE0, 1, Send(PE1, Load(9, 8)), seq=2))

    assert [envelope.body for envelope in bench.delivered(RIGHT)] == [Load(2, 8)]
    assert bench.delivered(LEFT) == []
    assert texts(bench, "unauthorised") == [
        ("pe0", "it may not send Reply to pe1"),
        ("pe1", "it may not send Load to pe0"),
        ("pe0", "it may not send Load to pe1"),
    ]
    assert bench.hub.over is None
    bench.journal.close()


def test_refusals_before_the_first_frame_are_told_at_a_beat(bench: Bench) -> None:
    """Failed handshakes and keys that the gate has turned away, summed up."""
    gate = bench.gate
    assert gate is not None
    for _ in range(3):
        gate.admits("turns", "another run's")
    bench.hub.beat(alive, failed_handshakes=2)
    bench.hub.beat(alive, failed_handshakes=0)

    assert texts(bench, "unauthorised") == [
        ("stranger", "it has no key, 2 times"),
        ("stranger", "a key of another run, 3 times"),
    ]
    assert bench.hub.refusals.count == 5


def test_a_flood_from_a_process_ends_the_run(
    open_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No node can do that; the limit is per beat."""
    monkeypatch.setattr(module, "PROCESS_FRAMES", 10)
    for number in range(10):
        open_bench.turn(LEFT, turn(PE0, number))
    open_bench.hub.beat(alive, 0)
    for number in range(10, 20):
        open_bench.turn(LEFT, turn(PE0, number))
    assert open_bench.hub.over is None
    open_bench.turn(LEFT, turn(PE0, 20))

    assert open_bench.hub.over == Over("crashed", "left: more than 10 frames in a beat", "left")


# -- signs of life


def beats(bench: Bench, count: int, pulse: bool = True) -> None:
    """Beats at which the right process is well, and the left one silent."""
    for _ in range(count):
        bench.hub.beat(lambda felt: pulse or felt != b"left", 0)
        asked = [decode_to_host(data) for to, data in bench.sent if to == RIGHT][-1]
        if isinstance(asked, Ping):
            bench.hub.feed(RIGHT, encode(Pong(asked.number)))


@pytest.fixture
def pulsing(tmp_path: Path, board: Board) -> Iterator[Bench]:
    """A running hub whose processes have pulses."""
    bench = Bench(tmp_path, board)
    bench.hub.feed(LEFT, hello("left", PE0, pulse=b"left"))
    bench.hub.feed(RIGHT, hello("right", PE1, pulse=b"right"))
    bench.hub.start(Go(0, 1.0))
    yield bench
    bench.journal.close()


def test_slow_and_paused_are_named(pulsing: Bench) -> None:
    """The journal says which process it is, what is wrong with it, and when it is back."""
    beats(pulsing, SLOW_BEATS + 2)
    pulsing.hub.feed(LEFT, encode(Pong(SLOW_BEATS + 2)))
    beats(pulsing, 1)
    beats(pulsing, 1, pulse=False)
    pulsing.hub.feed(LEFT, encode(Pong(SLOW_BEATS + 4)))
    beats(pulsing, 1)

    changes = [(kind, who) for kind, who in pulsing.events() if kind != "peer_up"]
    assert changes == [
        ("peer_slow", "left"),
        ("peer_back", "left"),
        ("peer_paused", "left"),
        ("peer_back", "left"),
    ]
    assert pulsing.hub.over is None


@pytest.mark.parametrize(("pulse", "state"), [(True, "stuck"), (False, "paused")])
def test_silence_ends_the_run_at_its_limit(pulsing: Bench, pulse: bool, state: str) -> None:
    """The outcome is that a process has died, with its name and state."""
    beats(pulsing, SILENCE_BEATS, pulse)
    assert pulsing.hub.over is None
    beats(pulsing, 1, pulse)

    assert pulsing.hub.over == Over(
        "died", f"left: it has been {state} for {SILENCE_BEATS} s", "left"
    )


def test_a_process_that_is_told_to_end_stops_the_run(open_bench: Bench) -> None:
    """It says goodbye; that is no death, and the others are told."""
    open_bench.hub.feed(LEFT, encode(Bye()))
    open_bench.hub.farewell()

    assert open_bench.hub.over == Over("stopped", "left was told to end")
    told = [(to, decode_to_host(data)) for to, data in open_bench.sent]
    assert told == [(LEFT, Ended("left was told to end")), (RIGHT, Ended("left was told to end"))]
