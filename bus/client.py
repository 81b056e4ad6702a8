"""A client of a running board: joins the hub for a while, asks, and is answered.

A client's turns stand in the journal like those of any node: the first starts with a question, each
following one takes an answer and may ask the next.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from bus.clock import BoardClock
from bus.frames import Bye, Deliver, Ended, Hello, Refused, ToHost, Welcome, decode_to_host
from bus.keys import Credentials
from bus.link import HostLink, Limits
from proto.codec import encode
from proto.ids import CLIENT, OPERATOR, Incarnation, NodeId
from proto.messages import Body
from proto.turn import Envelope, Input, Received, Send, Start, Turn

ONE_LIFE = Incarnation(1)
"""A client that comes back is another node."""


GREETING_LIMIT_S = 10.0
"""How long a running hub may take to answer a hello."""

LOOK_S = 1.0
"""How often a silent hub is looked for."""


class BoardGone(Exception):
    """The board has gone down while a client waited; one line."""


class BoardSilent(Exception):
    """The board runs, and has not answered in time; one line."""


class RefusedByBoard(Exception):
    """The hub does not take the client in, or has dropped it; the text says why."""


class Client:
    """One person's connection to a board; use it as a context manager or `close` it.

    `is_up` tells whether the board still runs: a dead hub says nothing. Raises `BoardGone`,
    `BoardSilent` and `RefusedByBoard`.
    """

    def __init__(
        self,
        endpoint: str,
        composition: str,
        token: str,
        is_up: Callable[[], bool],
        credentials: Credentials | None = None,
    ) -> None:
        self._is_up = is_up
        self._link = HostLink(endpoint, Limits(), credentials=credentials)
        self._frames: deque[bytes] = deque()
        self._arrived: deque[Envelope] = deque()
        self._input: Input | None = Start()
        self._number = self._seq = 0
        try:
            self._link.send(encode(Hello(CLIENT, (), ONE_LIFE, composition, token, os.getpid())))
            welcome = self._next(time.monotonic() + GREETING_LIMIT_S)
            assert isinstance(welcome, Welcome), f"the hub greets a client with {welcome}"
        except BaseException:
            self._link.close()
            raise
        self.node: NodeId = welcome.node
        self._clock = BoardClock(welcome.time_scale)
        self._clock.start(welcome.epoch_ns)

    @property
    def tx(self) -> int:
        """Transaction number of the next question."""
        return self._seq

    def ask(self, body: Body, limit_s: float = math.inf) -> Body:
        """Send a question to the operator and wait for its answer, so many real seconds at most."""
        deadline_s = time.monotonic() + limit_s
        self._turn(Send(OPERATOR, body))
        while not self._arrived:
            frame = self._next(deadline_s)
            if isinstance(frame, Deliver):
                self._arrived += frame.envelopes
        answer = self._arrived.popleft()
        self._input = Received(answer.id)
        return answer.body

    def close(self) -> None:
        """Take the last answer, say goodbye and leave; closing twice is allowed."""
        if self._number and isinstance(self._input, Received):
            self._turn()
        self._link.send(encode(Bye()))
        self._link.close(flush=True)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _turn(self, *effects: Send) -> None:
        answered = self._input
        assert answered is not None, "a client asks one question at a time"
        self._input = None
        turn = Turn(
            self.node, ONE_LIFE, self._number, answered, self._clock.now(), self._seq, effects
        )
        self._number += 1
        self._seq += len(effects)
        self._link.send(encode(turn))

    def _next(self, deadline_s: float) -> ToHost:
        """The next frame of the hub; its silence is looked into once a second."""
        while not self._frames:
            if not self._is_up():
                raise BoardGone("the board has gone down")
            left_s = deadline_s - time.monotonic()
            self._frames += self._link.receive(min(max(0.0, left_s), LOOK_S))
            if not self._frames and left_s <= 0:
                raise BoardSilent("the board does not answer")
        frame = decode_to_host(self._frames.popleft())
        if isinstance(frame, Refused):
            raise RefusedByBoard(frame.reason)
        if isinstance(frame, Ended):
            raise BoardGone("the board has gone down")
        return frame
