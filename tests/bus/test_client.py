"""A client against a hub's socket: greeting, questions, goodbye, and a hub that is silent."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus import client as module
from bus.client import BoardGone, BoardSilent, Client, RefusedByBoard
from bus.frames import Bye, Deliver, Ended, FromHost, Hello, Refused, Welcome, decode_from_host
from bus.link import HubLink, Limits
from proto.codec import encode
from proto.ids import OPERATOR, Incarnation, NodeId
from proto.messages import AwaitSteps, OperateResult
from proto.turn import Envelope, MessageId, Received, Send, Start, Turn

ONE = Incarnation(1)
ANN = NodeId("client1")

Answers = Callable[[FromHost], list[object]]


class FakeHub:
    """Answers each frame as a test says, in a thread of its own."""

    def __init__(self, endpoint: str, answers: Answers) -> None:
        self.frames: list[FromHost] = []
        self._link = HubLink(endpoint, f"{endpoint}.pulse", Limits())
        self._answers = answers
        self._stop = threading.Event()
        self.left = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            for connection, data, _ in self._link.receive(0.05):
                frame = decode_from_host(data)
                self.frames.append(frame)
                if isinstance(frame, Bye):
                    self.left.set()
                for answer in self._answers(frame):
                    self._link.send(connection, encode(answer))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._link.close()


def friendly(frame: FromHost) -> list[object]:
    """A hub with an operator that answers everything."""
    match frame:
        case Hello():
            return [Welcome(ANN, 0, 2.0)]
        case Turn(effects=(Send(body=AwaitSteps(tx)),)):
            answer = Envelope(MessageId(OPERATOR, ONE, tx), ANN, None, OperateResult(tx, True))
            return [Deliver([]), Deliver([answer])]
        case _:
            return []


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Answers], tuple[str, FakeHub]]]:
    """Start a fake hub; gives its endpoint."""
    hubs: list[FakeHub] = []

    def start(answers: Answers) -> tuple[str, FakeHub]:
        endpoint = f"ipc://{tmp_path}/hub.sock"
        hubs.append(FakeHub(endpoint, answers))
        return endpoint, hubs[-1]

    yield start
    for hub in hubs:
        hub.close()


Serve = Callable[[Answers], tuple[str, FakeHub]]


def test_a_conversation_is_turns(serve: Serve) -> None:
    """The first starts, each following one takes the answer before it, the last only takes."""
    endpoint, hub = serve(friendly)
    with Client(endpoint, "c0ffee", "secret", lambda: True) as client:
        assert client.node == ANN
        answers = [client.ask(AwaitSteps(client.tx)) for _ in range(2)]
    assert hub.left.wait(10)

    assert answers == [OperateResult(0, True), OperateResult(1, True)]
    greeting, *turns, goodbye = hub.frames
    assert isinstance(greeting, Hello)
    assert (greeting.process, greeting.nodes, greeting.token) == ("client", (), "secret")
    assert [
        (t.number, t.first_seq, t.input, len(t.effects)) for t in turns if isinstance(t, Turn)
    ] == [
        (0, 0, Start(), 1),
        (1, 1, Received(MessageId(OPERATOR, ONE, 0)), 1),
        (2, 2, Received(MessageId(OPERATOR, ONE, 1)), 0),
    ]
    assert goodbye == Bye()


def test_a_refusal_is_an_exception(serve: Serve) -> None:
    """With the hub's reason."""
    endpoint, _ = serve(lambda frame: [Refused("no room")])
    with pytest.raises(RefusedByBoard, match="no room"):
        Client(endpoint, "c0ffee", "secret", lambda: True)


def test_the_end_of_the_board_ends_a_question(serve: Serve) -> None:
    """The hub says so."""

    def ends(frame: FromHost) -> list[object]:
        return [Ended("done")] if isinstance(frame, Turn) else friendly(frame)

    endpoint, _ = serve(ends)
    with (
        Client(endpoint, "c0ffee", "secret", lambda: True) as client,
        pytest.raises(BoardGone),
    ):
        client.ask(AwaitSteps(0))


def test_a_hub_that_died_says_nothing(tmp_path: Path) -> None:
    """Whoever holds the run folder is asked instead."""
    with pytest.raises(BoardGone, match="has gone down"):
        Client(f"ipc://{tmp_path}/nobody", "c0ffee", "secret", lambda: False)


def test_a_hub_that_hangs_is_not_waited_for(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A greeting and a question have their limits."""

    def deaf(frame: FromHost) -> list[object]:
        return friendly(frame) if isinstance(frame, Hello) else []

    monkeypatch.setattr(module, "GREETING_LIMIT_S", 0.0)
    with pytest.raises(BoardSilent):
        Client(f"ipc://{tmp_path}/nobody", "c0ffee", "secret", lambda: True)
    endpoint, _ = serve(deaf)
    monkeypatch.undo()
    with (
        Client(endpoint, "c0ffee", "secret", lambda: True) as client,
        pytest.raises(BoardSilent),
    ):
        client.ask(AwaitSteps(0), limit_s=0.0)
